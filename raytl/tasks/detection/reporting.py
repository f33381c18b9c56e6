"""The reports, predictions and comparisons of detections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from raytl.metrics import average_precision, matching
from raytl.metrics.average_precision import Facts
from raytl.metrics.confusion import Floats
from raytl.metrics.matching import Scene
from raytl.tasks.detection import export, report, scores
from raytl.tasks.detection.answer import Detections
from raytl.tasks.detection.prediction import DetectionPrediction
from raytl.tasks.reporting import Evaluated
from raytl.tasks.score_reporting import ScoreReporting, Scoring

METRICS = ("map", "map_50", "map_75", "ar_100")
Scenes = Callable[[Evaluated], list[Scene]]


def scenes_of(evaluated: Evaluated) -> list[Scene]:
    """Return the objects and detections of each image."""
    return scores.scenes(evaluated.truths, evaluated.rows, evaluated.classes)


def in_order(evaluated: Evaluated, classes: tuple[str, ...]) -> Evaluated:
    """Return the same answers with the numbers of classes as in `classes`; truths have their names."""
    places = np.array([classes.index(name) for name in evaluated.classes] + [-1])  # the last for padding
    boxes, confidences, labels, *others = evaluated.rows
    return replace(evaluated, rows=(boxes, confidences, places[labels], *others), classes=classes)


def scoring(scenes: Scenes) -> Scoring[Facts]:
    """Return the scores of COCO over `scenes`."""
    return Scoring(
        facts=lambda evaluated, classes: average_precision.facts(scenes(in_order(evaluated, classes)), len(classes)),
        joined=average_precision.joined_facts,
        measure=average_precision.measure,
        metrics=METRICS,
        by_class="ap",
        by_image=lambda evaluated: image_scores(
            scenes(evaluated), len(evaluated.classes), scores.predict_score(evaluated.rows)
        ),
        image_metric="image_f1",
    )


def image_scores(scenes: Sequence[Scene], classes: int, score: float) -> Floats:
    """Return the F1 of each image at `score`, `(n,)`, counted as in confusions; 1 without objects and detections."""
    counts = np.stack([matching.confusion([scene], classes, score=score) for scene in scenes])
    hits = np.trace(counts, axis1=1, axis2=2)
    objects, calls = counts[:, :classes].sum(axis=(1, 2)), counts[:, :, :classes].sum(axis=(1, 2))
    return np.where(objects + calls > 0, 2 * hits / np.maximum(objects + calls, 1), 1.0)


def impression(answer: Detections, classes: Sequence[str]) -> tuple[str, float]:
    """Return the class and the score of the most certain object."""
    if not len(answer.scores):
        return "nothing", 0.0
    best = int(answer.scores.argmax())
    return classes[answer.labels[best]], float(answer.scores[best])


REPORTING = ScoreReporting(
    kind=report.KIND,
    reported=report.report,
    predicted=export.PREDICTIONS,
    value=DetectionPrediction,
    scoring=scoring(scenes_of),
    impression=impression,
)
