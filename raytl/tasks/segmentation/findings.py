"""The regions of class maps as findings for `raytl report`, and their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.data.class_maps import BACKGROUND as BACKGROUND_CLASS
from raytl.metrics import segmentation
from raytl.metrics.confusion import Ints
from raytl.metrics.findings import BACKGROUND, CORRECT, MISPLACED, WRONG_CLASS, Findings, Wanted, sizes_of
from raytl.metrics.pixels import MAX_SUSPECTS, SUSPECT, Pixels
from raytl.metrics.segmentation import VOID, Facts
from raytl.tasks.findings import FindingKind
from raytl.tasks.segmentation import scores
from raytl.tasks.segmentation.details import CONFIDENCE, FIELDS, tables
from raytl.tasks.segmentation.inference import detailed
from raytl.tasks.task import Rows

SECTIONS: tuple[str, ...] = ("pixels", "sizes", "unfamiliar", "slices", "fairness", "suspects", "robustness")
_SCORES = 2
"""The first rows of an image, which have its scores; those of `details` follow."""
_Table = NDArray[np.int64]


def findings(truths: Sequence[Any], rows: Rows, classes: Sequence[str]) -> Findings:
    """Return the regions of a split, and its pixels; without rows of `details`, only the score of each image: its mean IoU.

    Regions of the class `background` are no findings. The model reports all of its regions.
    """
    del truths
    facts = scores.facts(rows, classes)
    background = classes.index(BACKGROUND_CLASS) if BACKGROUND_CLASS in classes else VOID
    texts = rows[_SCORES + 1] if len(rows) > _SCORES + 1 else ()
    images = [_without_background(*tables(text), background) for text in texts]
    true, drawn = (_joined(part) for part in zip(*images, strict=True)) if images else (_joined([]), _joined([]))
    starts = np.cumsum([0, *(len(part[0]) for part in images)])
    partner, error = drawn[:, 8], _errors(drawn, background)
    return Findings(
        **_columns(drawn),
        error=error,
        truth=np.where((partner >= 0) & (error != BACKGROUND), partner + starts[drawn[:, 0]], -1),
        wanted=Wanted(**_columns(true) | {"confidence": np.where(true[:, 9], true[:, 10] / CONFIDENCE, 0.0)}),
        thresholds=np.full(len(classes), 0.99 / len(classes)),  # the most probable of k classes has 1 / k at least
        score=image_iou(facts),
        pixels=_pixels(rows[_SCORES:], facts) if len(rows) > _SCORES else None,
    )


def image_iou(facts: Facts) -> NDArray[np.float64]:
    """Return the mean IoU of each image over its classes, `(n,)`; 1 if all of it is void."""
    images = np.arange(len(facts.hits))[:, None]
    return np.nan_to_num(segmentation.measure(facts, images, ("miou",))["miou"], nan=1.0)


def _without_background(true: _Table, drawn: _Table, background: int) -> tuple[_Table, _Table]:
    """Return the regions that are no background, with the places of true regions among those that are kept."""
    keep = true[:, 0] != background
    place = np.append(np.where(keep, np.cumsum(keep) - 1, -1), -1)
    drawn = drawn[drawn[:, 0] != background].copy()
    drawn[:, 7] = place[drawn[:, 7]]
    return true[keep], drawn


def _joined(images: Sequence[_Table]) -> _Table:
    """Return the regions of all images with the place of the image as the first column, `(m, 11)`."""
    parts = [np.insert(table, 0, place, axis=1) for place, table in enumerate(images)]
    return np.concatenate([np.zeros((0, FIELDS + 1), np.int64), *parts])


def _columns(table: _Table) -> dict[str, Any]:
    return {
        "image": table[:, 0],
        "label": table[:, 1],
        "size": sizes_of(table[:, 2].astype(np.float64)),
        "boxes": table[:, 3:7].astype(np.float32),
        "confidence": np.minimum(table[:, 10] / CONFIDENCE, 1.0),
    }


def _errors(drawn: _Table, background: int) -> Ints:
    """Return what is true of each predicted region, by its most frequent true class if that is not its own for the most part."""
    own, other = drawn[:, 1], drawn[:, 7]
    wrong = np.where(other == background, BACKGROUND, WRONG_CLASS)
    return np.where(drawn[:, 9] == 1, CORRECT, np.where(other == own, MISPLACED, wrong))


def _pixels(rows: Rows, facts: Facts) -> Pixels:
    """Return the pixels of rows of `details`; brief ones lack edges and suspects."""
    bins, *rest = rows
    counts = np.stack([facts.hits, facts.calls, facts.support], axis=1)
    if rest:
        return Pixels(bins, rest[1], counts, rest[2])
    count = len(bins)
    return Pixels(
        bins, np.zeros((count, 4), np.int64), counts, np.zeros((count, MAX_SUSPECTS, len(SUSPECT)), np.float32)
    )


FINDINGS = FindingKind(findings, "region", "true region", "IoU", "image-segmentation", detailed=detailed)
