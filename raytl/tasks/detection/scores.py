"""Score detections: COCO's average precision of boxes, and the confusion of classes with the background."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

import numpy as np
from numpy.typing import NDArray

from raytl.data.targets import Boxes, Instances
from raytl.metrics import average_precision
from raytl.metrics.average_precision import MAX_DETECTIONS, Facts
from raytl.metrics.best_f1 import best_f1_threshold
from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.draws import values
from raytl.metrics.matching import Bools, Scene, confusion
from raytl.models.predict_score import DEFAULT_SCORE
from raytl.tasks.detection.answer import Detections
from raytl.tasks.objects import Limits
from raytl.tasks.overlap import Run, box_areas, box_overlaps, mask_areas, mask_boxes
from raytl.tasks.task import Confusion, Rows, Validation

METRICS = ("map", "map_50", "map_75", "ar_100")
"""Those of a validation, the most important first."""
BACKGROUND = "background"


def evidence(answers: Sequence[Detections], truths: Sequence[Boxes | Instances]) -> Rows:
    """Return boxes `(n, 100, 4) float32`, scores `(n, 100) float32` (both padded with NaN) and labels `(n, 100) int64` (with -1),
    and the lowest score that the model reports, `(n,) float64`.

    They are the 100 detections of the highest scores of each image, in this order.
    """
    del truths
    boxes = np.full((len(answers), MAX_DETECTIONS, 4), np.nan, dtype=np.float32)
    scores = np.full((len(answers), MAX_DETECTIONS), np.nan, dtype=np.float32)
    labels = np.full((len(answers), MAX_DETECTIONS), -1, dtype=np.int64)
    for row, answer in enumerate(answers):
        best = ranked(answer.scores)
        boxes[row, : len(best)], scores[row, : len(best)] = answer.boxes[best], answer.scores[best]
        labels[row, : len(best)] = answer.labels[best]
    return boxes, scores, labels, np.array([answer.predict_score for answer in answers], dtype=np.float64)


def ranked(scores: NDArray[np.float32]) -> Ints:
    """Return the places of the 100 highest scores, the highest first; the earlier of equals first."""
    return np.argsort(-scores, kind="stable")[:MAX_DETECTIONS]


def answers_of(rows: Rows) -> list[Detections]:
    """Return the detections that the rows of `evidence` contain."""
    boxes, scores, labels, lowest = rows[:4]
    return [
        Detections(boxes[n, :k], scores[n, :k], labels[n, :k], predict_score=float(lowest[n]))
        for n, k in enumerate((labels >= 0).sum(axis=1))
    ]


def predict_score(rows: Rows) -> float:
    """Return the lowest score that the model of these rows reports."""
    return float(rows[3][0]) if len(rows[3]) else DEFAULT_SCORE


def best_score(image_facts: Facts) -> float:
    """Return the lowest score to report: the one with the highest F1 over all objects, at an overlap of 0.5.

    One for all classes: if scores are calibrated it is optimal (Lipton et al. 2014). Of blood cells, thresholds of classes gain
    0.1 to 0.2 points of test F1 if they are chosen on 10 to 80 photos, and lose 0.2 on 2 or 3; one for all is better than 0.3 by 20
    points even if a single photo chooses it.
    """
    counted = image_facts.counted[:, 0, 0]
    hits, objects = image_facts.hit[counted, 0, 0], int(image_facts.objects[:, :, 0].sum())
    threshold = best_f1_threshold(image_facts.score[counted], hits, objects)
    return DEFAULT_SCORE if isnan(threshold) else max(threshold, Limits().score)


def scenes(truths: Sequence[Boxes | Instances], rows: Rows, classes: Sequence[str]) -> list[Scene]:
    """Return the objects and detections of each image, for `average_precision.facts` and `matching.confusion`.

    The area of an object, which decides its size, is that of its mask if there is one, as in COCO.

    Raises:
        KeyError: `classes` lacks a label.
    """
    return [_scene(truth, answer, classes) for truth, answer in zip(truths, answers_of(rows), strict=True)]


def facts(truths: Sequence[Boxes | Instances], rows: Rows, classes: Sequence[str]) -> Facts:
    """Return the facts that `average_precision.measure` scores.

    Raises:
        KeyError: `classes` lacks a label.
    """
    return average_precision.facts(scenes(truths, rows, classes), len(classes))


def validation(truths: Sequence[Boxes | Instances], rows: Rows, classes: Sequence[str]) -> Validation:
    """Return the scores over the split, without intervals; choose the lowest score to report, and count the confusion with it.

    Raises:
        KeyError: `classes` lacks a label.
    """
    images = scenes(truths, rows, classes)
    image_facts = average_precision.facts(images, len(classes))
    chosen = best_score(image_facts)
    return Validation(
        {f"val/{name}": value for name, value in coco_scores(image_facts, METRICS).items()},
        background_confusion(images, classes, chosen),
        predict_score=chosen,
    )


def coco_scores(image_facts: Facts, names: Sequence[str]) -> dict[str, float]:
    """Return the scores of `average_precision` called `names`."""
    measured = values(lambda draws: average_precision.measure(image_facts, draws, names), len(image_facts.objects))
    return {name: float(value) for name, value in measured.items()}


def background_confusion(images: Sequence[Scene], classes: Sequence[str], score: float) -> Confusion:
    """Return the confusion of the detections at or above `score`, at an overlap of 0.5, with the background."""
    return Confusion((*classes, BACKGROUND), confusion(images, len(classes), score=score))


def labels_and_crowds(truth: Boxes | Instances, classes: Sequence[str]) -> tuple[Ints, Bools]:
    """Return the class of each object of an image and whether it is a crowd, both `(n,)`.

    Raises:
        KeyError: `classes` lacks a label.
    """
    index = {name: number for number, name in enumerate(classes)}
    objects = truth.boxes if isinstance(truth, Boxes) else truth.instances
    return (
        np.array([index[each.label] for each in objects], dtype=np.int64),
        np.array([each.crowd for each in objects], dtype=bool),
    )


def masks_of(truth: Instances) -> list[Run]:
    """Return the masks of the objects of an image."""
    return [{"size": [truth.height, truth.width], "counts": each.counts} for each in truth.instances]


def boxes_and_areas(truth: Boxes | Instances) -> tuple[Floats, Floats]:
    """Return the corners `(n, 4)` and areas `(n,)` of the objects of an image."""
    if isinstance(truth, Instances):
        masks = masks_of(truth)
        return mask_boxes(masks), mask_areas(masks)
    corners = np.array([box.corners for box in truth.boxes], dtype=np.float64).reshape(-1, 4)
    return corners, box_areas(corners)


def _scene(truth: Boxes | Instances, answer: Detections, classes: Sequence[str]) -> Scene:
    labels, crowd = labels_and_crowds(truth, classes)
    corners, areas = boxes_and_areas(truth)
    return Scene(
        truth_labels=labels,
        truth_areas=areas,
        crowd=crowd,
        labels=answer.labels,
        scores=answer.scores.astype(np.float64),
        areas=box_areas(answer.boxes),
        overlaps=box_overlaps(answer.boxes, corners, crowd),
    )
