"""The reports, predictions and comparisons of class maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raytl.metrics import segmentation
from raytl.metrics.confusion import Floats
from raytl.metrics.segmentation import ClassMap, Facts
from raytl.tasks.reporting import Evaluated
from raytl.tasks.score_reporting import ScoreReporting, Scoring
from raytl.tasks.segmentation import export, report, scores
from raytl.tasks.segmentation.findings import image_iou
from raytl.tasks.segmentation.prediction import SegmentationPrediction


def facts(evaluated: Evaluated, classes: tuple[str, ...]) -> Facts:
    """Return the counts of each image with the classes in the order of `classes`."""
    own = scores.facts(evaluated.rows, evaluated.classes)
    order = [evaluated.classes.index(name) for name in classes]
    return Facts(*(getattr(own, name)[:, order] for name in Facts.__slots__))


def image_scores(evaluated: Evaluated) -> Floats:
    """Return the mean IoU of each image over its classes, `(n,)`; 1 if all of it is void."""
    return image_iou(scores.facts(evaluated.rows, evaluated.classes))


def impression(answer: ClassMap, classes: Sequence[str]) -> tuple[str, float]:
    """Return the largest class of an image and its part of the area."""
    counts = np.bincount(np.ravel(answer), minlength=len(classes))
    return classes[int(counts.argmax())], float(counts.max() / max(1, counts.sum()))


REPORTING = ScoreReporting(
    kind=report.KIND,
    reported=report.report,
    predicted=export.PREDICTIONS,
    value=SegmentationPrediction,
    scoring=Scoring(
        facts, segmentation.joined_facts, segmentation.measure, scores.METRICS, "iou", image_scores, "image_iou"
    ),
    impression=impression,
)
