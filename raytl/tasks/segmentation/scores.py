"""Score class maps: mIoU, Dice, pixel accuracy and boundary F, from counts of each image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

import numpy as np

from raytl.metrics import segmentation
from raytl.metrics.confusion import Ints, cells_of, matrix_of
from raytl.metrics.draws import values
from raytl.metrics.segmentation import VOID, ClassMap, Facts, boundary_counts, pixel_confusion
from raytl.tasks.task import Confusion, Rows, Validation

DIRECTIONS: dict[str, Literal["max", "min"]] = {
    "miou": "max", "dice": "max", "pixel_accuracy": "max", "boundary_f": "max",
}  # fmt: skip


def evidence(answers: Sequence[ClassMap], truths: Sequence[ClassMap]) -> Rows:
    """Return the counts of the pixels and boundaries of each image, `(n,) S`: the JSON of its nonzero cells.

    Answers and truths are class maps `(h, w) uint8` of the same size; 255 in a truth is void.
    """
    texts = [_record(answer, truth) for answer, truth in zip(answers, truths, strict=True)]
    return (np.array([text.encode() for text in texts], dtype=np.bytes_),)


def facts(rows: Rows, classes: Sequence[str]) -> Facts:
    """Return the facts that `segmentation.measure` scores."""
    return segmentation.facts(*_counts(rows, len(classes)))


def validation(truths: Sequence[ClassMap], rows: Rows, classes: Sequence[str]) -> Validation:
    """Return the scores over the split, without intervals, and the confusion of pixels."""
    del truths
    confusions, boundaries = _counts(rows, len(classes))
    image_facts = segmentation.facts(confusions, boundaries)
    measured = values(lambda draws: segmentation.measure(image_facts, draws, tuple(DIRECTIONS)), len(confusions))
    return Validation(
        {f"val/{name}": float(value) for name, value in measured.items()},
        Confusion(tuple(classes), np.sum(confusions, axis=0)),
    )


def _record(answer: ClassMap, truth: ClassMap) -> str:
    assert answer.shape == truth.shape, f"a map of {answer.shape} for an image of {truth.shape}"
    cells = cells_of(pixel_confusion(truth, answer, VOID))
    edges = boundary_counts(truth, answer, VOID)
    classes = np.flatnonzero(edges.any(axis=0))
    return json.dumps({"cells": cells, "classes": classes.tolist(), "edges": edges[:, classes].tolist()})


def _counts(rows: Rows, classes: int) -> tuple[list[Ints], list[Ints]]:
    """Return the confusion `(classes, classes)` and the boundary counts `(4, classes)` of each image."""
    records = [json.loads(text) for text in rows[0]]
    return [matrix_of(record["cells"], classes) for record in records], [_edges(record, classes) for record in records]


def _edges(record: dict[str, list[int]], classes: int) -> Ints:
    edges = np.zeros((4, classes), dtype=np.int64)
    edges[:, record["classes"]] = np.asarray(record["edges"], dtype=np.int64).reshape(4, -1)
    return edges
