"""The reports, predictions and comparisons of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from raytl.metrics import multilabel
from raytl.metrics.confusion import Floats
from raytl.metrics.multilabel import Facts
from raytl.tasks.multilabel import export, report, scores
from raytl.tasks.multilabel.answer import LabelsAnswer
from raytl.tasks.multilabel.prediction import prediction_of
from raytl.tasks.reporting import Evaluated
from raytl.tasks.score_reporting import ScoreReporting, Scoring

_NEVER = -50.0
"""The logit of a label that the model does not have."""


def facts(evaluated: Evaluated, classes: tuple[str, ...]) -> Facts:
    """Return the facts with the labels in the order of `classes`; a label that the model lacks is never predicted."""
    own = report.facts_of(padded(evaluated))
    order = [evaluated.classes.index(name) for name in classes]
    return Facts(*(getattr(own, name)[:, order] for name in Facts.__slots__))


def padded(evaluated: Evaluated) -> Evaluated:
    """Return the same answers with a column for each label."""
    missing = len(evaluated.classes) - evaluated.own
    logits, thresholds = evaluated.rows[:2]
    pads = ((0, 0), (0, missing))
    rows = np.pad(logits, pads, constant_values=_NEVER), np.pad(thresholds, pads, constant_values=0.5)
    return replace(evaluated, rows=rows)


def image_scores(evaluated: Evaluated) -> Floats:
    """Return the F1 of the known labels of each image, `(n,)`; 1 if there are none and none is predicted."""
    return multilabel.image_f1(report.facts_of(padded(evaluated)))


def impression(answer: LabelsAnswer, classes: Sequence[str]) -> tuple[str, float]:
    """Return the most probable label and its probability."""
    table = scores.probabilities(answer.logits)
    return classes[int(table.argmax())], float(table.max())


REPORTING = ScoreReporting(
    kind=report.KIND,
    reported=report.report,
    predicted=export.PREDICTIONS,
    value=prediction_of,
    scoring=Scoring(
        facts,
        multilabel.joined_facts,
        multilabel.measure,
        ("map", "macro_f1", "micro_f1", "log_loss"),
        "f1",
        image_scores,
        "image_f1",
    ),
    impression=impression,
)
