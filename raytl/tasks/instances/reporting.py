"""The reports, predictions and comparisons of instances, by their masks."""

from __future__ import annotations

from raytl.metrics.matching import Scene
from raytl.tasks.detection.reporting import impression, scoring
from raytl.tasks.instances import export, report, scores
from raytl.tasks.instances.prediction import InstancesPrediction
from raytl.tasks.reporting import Evaluated
from raytl.tasks.score_reporting import ScoreReporting


def scenes_of(evaluated: Evaluated) -> list[Scene]:
    """Return the objects and instances of each image, with the overlaps of their masks."""
    return scores.scenes(evaluated.truths, evaluated.rows, evaluated.classes)


REPORTING = ScoreReporting(
    kind=report.KIND,
    reported=report.report,
    predicted=export.PREDICTIONS,
    value=InstancesPrediction,
    scoring=scoring(scenes_of),
    impression=impression,
)
