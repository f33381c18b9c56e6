"""Score class maps: mIoU, Dice, pixel accuracy and boundary F, from counts of each image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raytl.metrics import segmentation
from raytl.metrics.confusion import Ints
from raytl.metrics.draws import values
from raytl.metrics.segmentation import VOID, ClassMap, Facts, boundary_counts, pixel_confusion
from raytl.tasks.segmentation.thumbnail import packed
from raytl.tasks.task import Confusion, Rows, Validation

METRICS = ("miou", "dice", "pixel_accuracy", "boundary_f")
"""Those of a validation, the most important first."""


def evidence(answers: Sequence[ClassMap], truths: Sequence[ClassMap]) -> Rows:
    """Return the counts of the pixels and boundaries of each image, `(n,) S`: numbers in text, of what is not 0; and the answers
    in small, `(n,) S`, for pictures.

    Answers and truths are class maps `(h, w) uint8` of the same size; 255 in a truth is void.
    """
    texts = [_record(answer, truth) for answer, truth in zip(answers, truths, strict=True)]
    small = np.array([packed(answer) for answer in answers], dtype=np.bytes_)
    return np.array([text.encode() for text in texts], dtype=np.bytes_), small


def facts(rows: Rows, classes: Sequence[str]) -> Facts:
    """Return the facts that `segmentation.measure` scores."""
    return _facts_and_confusion(rows, len(classes))[0]


def validation(truths: Sequence[ClassMap], rows: Rows, classes: Sequence[str]) -> Validation:
    """Return the scores over the split, without intervals, and the confusion of pixels."""
    del truths
    image_facts, confusion = _facts_and_confusion(rows, len(classes))
    measured = values(lambda draws: segmentation.measure(image_facts, draws, METRICS), len(image_facts.hits))
    return Validation(
        {f"val/{name}": float(value) for name, value in measured.items()},
        Confusion(tuple(classes), confusion),
    )


def _record(answer: ClassMap, truth: ClassMap) -> str:
    """Return the nonzero cells of the confusion as true, predicted, count, and behind a bar the boundaries as class, counts."""
    assert answer.shape == truth.shape, f"a map of {answer.shape} for an image of {truth.shape}"
    pixels, edges = pixel_confusion(truth, answer, VOID), boundary_counts(truth, answer, VOID)
    cells, classes = np.argwhere(pixels), np.flatnonzero(edges.any(axis=0))
    tables = np.column_stack([cells, pixels[tuple(cells.T)]]), np.column_stack([classes, edges[:, classes].T])
    return "|".join(" ".join(map(str, table.ravel().tolist())) for table in tables)


def _facts_and_confusion(rows: Rows, classes: int) -> tuple[Facts, Ints]:
    """Return the facts of the images, and the confusion `(classes, classes)` of all their pixels.

    An image has few of the cells; those of all images and classes would not fit in memory.
    """
    hits, calls, support = (np.zeros((len(rows[0]), classes), dtype=np.int64) for _ in range(3))
    boundaries = np.zeros((len(rows[0]), 4, classes), dtype=np.int64)
    confusion = np.zeros((classes, classes), dtype=np.int64)
    for image, text in enumerate(rows[0]):
        cells, edges = (np.array(part.split(), dtype=np.int64) for part in text.decode().split("|"))
        true, predicted, counts = cells.reshape(-1, 3).T
        same = true == predicted
        for table, label, part in (
            (hits, true[same], counts[same]),
            (calls, predicted, counts),
            (support, true, counts),
        ):
            np.add.at(table[image], label, part)
        confusion[true, predicted] += counts
        label, *kinds = edges.reshape(-1, 5).T
        boundaries[image][:, label] = kinds
    return Facts(hits, calls, support, *np.moveaxis(boundaries, 1, 0)), confusion
