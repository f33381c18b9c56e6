"""Score instances: COCO's average precision of masks and of boxes, and the confusion of classes with the background."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raytl.data.targets import Instances
from raytl.metrics import average_precision
from raytl.metrics.average_precision import Facts
from raytl.metrics.matching import Scene
from raytl.tasks.detection import scores as detection
from raytl.tasks.instances.answer import Segments
from raytl.tasks.overlap import Run, mask_areas, mask_overlaps
from raytl.tasks.task import Rows, Validation

METRICS = ("map", "map_50", "map_75", "ar_100", "box_map", "box_map_50")
"""Those of a validation, the most important first."""
_MASK_NAMES = ("map", "map_50", "map_75", "ar_100")
_BOX_NAMES = ("map", "map_50")


def evidence(answers: Sequence[Segments], truths: Sequence[Instances]) -> Rows:
    """Return the rows of detection, and the run lengths of the masks, `(n,) S`: one a line."""
    masks = ["\n".join(answer.counts[place] for place in detection.ranked(answer.scores)) for answer in answers]
    return *detection.evidence(answers, truths), np.array([text.encode() for text in masks], dtype=np.bytes_)


def answers_of(truths: Sequence[Instances], rows: Rows) -> list[Segments]:
    """Return the instances that the rows of `evidence` contain; `truths` have the sizes of the images."""
    *plain, masks = rows
    return [
        Segments(
            each.boxes,
            each.scores,
            each.labels,
            tuple(text.decode().split()),
            (truth.width, truth.height),
            predict_score=each.predict_score,
        )
        for each, text, truth in zip(detection.answers_of(tuple(plain)), masks, truths, strict=True)
    ]


def scenes(truths: Sequence[Instances], rows: Rows, classes: Sequence[str]) -> list[Scene]:
    """Return the objects and detections of each image, with the overlaps of their masks.

    Raises:
        KeyError: `classes` lacks a label.
    """
    return [_scene(truth, answer, classes) for truth, answer in zip(truths, answers_of(truths, rows), strict=True)]


def facts(truths: Sequence[Instances], rows: Rows, classes: Sequence[str]) -> Facts:
    """Return the facts about masks that `average_precision.measure` scores; `detection.scores.facts(truths, rows, classes)` are
    those about boxes.

    Raises:
        KeyError: `classes` lacks a label.
    """
    return average_precision.facts(scenes(truths, rows, classes), len(classes))


def validation(truths: Sequence[Instances], rows: Rows, classes: Sequence[str]) -> Validation:
    """Return the scores over the split, without intervals: of masks, and with the prefix `box_` of boxes; choose the
    lowest score to report, and count the confusion with it.

    Raises:
        KeyError: `classes` lacks a label.
    """
    images = scenes(truths, rows, classes)
    image_facts = average_precision.facts(images, len(classes))
    masks = detection.coco_scores(image_facts, _MASK_NAMES)
    boxes = detection.coco_scores(detection.facts(truths, rows, classes), _BOX_NAMES)
    chosen = detection.best_score(image_facts)
    metrics = {f"val/{name}": value for name, value in masks.items()}
    metrics |= {f"val/box_{name}": value for name, value in boxes.items()}
    return Validation(metrics, detection.background_confusion(images, classes, chosen), predict_score=chosen)


def _scene(truth: Instances, answer: Segments, classes: Sequence[str]) -> Scene:
    labels, crowd = detection.labels_and_crowds(truth, classes)
    objects = detection.masks_of(truth)
    width, height = answer.size
    masks: list[Run] = [{"size": [height, width], "counts": counts} for counts in answer.counts]
    return Scene(
        truth_labels=labels,
        truth_areas=mask_areas(objects),
        crowd=crowd,
        labels=answer.labels,
        scores=answer.scores.astype(np.float64),
        areas=mask_areas(masks),
        overlaps=mask_overlaps(masks, objects, crowd),
    )
