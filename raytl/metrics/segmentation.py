"""Scores of class maps: first counts of the pixels of each image, then scores over any draw of images.

Counts are added over the images of a draw, and void pixels are left out of all. A class that is absent from truth and
prediction has no score (NaN) and is left out of means; one that is only predicted scores 0.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Floats, Ints, confusion_matrix
from raytl.metrics.draws import blocks, counts_of, joined, mean_of_defined, ratio, selected

VOID = 255
TOLERANCE = 0.0075
"""The distance within which boundaries agree, as a fraction of the image's diagonal (Csurka et al. 2013); at least 1 pixel."""
BY_CLASS = ("iou", "dice_by_class", "boundary_f_by_class")
_CELLS = 1 << 21
"""Limits the memory of a block of draws."""

ClassMap = NDArray[np.uint8]
"""The class of each pixel `(h, w)`; 255 is void."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Counts of the pixels of n images by class, `(n, classes)`.

    `hits`, `calls` and `support` as in a confusion matrix. `drawn` and `drawn_near` are the predicted boundary pixels and those
    near a true boundary; `edges` and `edges_near` the true ones, and those near a predicted boundary.
    """

    hits: Ints
    calls: Ints
    support: Ints
    drawn: Ints
    drawn_near: Ints
    edges: Ints
    edges_near: Ints


def pixel_confusion(truth: ClassMap, predicted: ClassMap, classes: int) -> Ints:
    """Return the number of pixels `(classes, classes)`, true by predicted, without void pixels."""
    valid = truth != VOID
    return confusion_matrix(truth[valid].astype(np.int64), predicted[valid].astype(np.int64), classes)


def boundary_counts(truth: ClassMap, predicted: ClassMap, classes: int) -> Ints:
    """Return the boundary pixels by class, `(4, classes)`: drawn, drawn_near, edges and edges_near of `Facts`.

    A boundary pixel has a 4-neighbor of another class; neighbors outside the image or void do not count.
    """
    limit = tolerance(truth.shape)
    masked = np.where(truth == VOID, np.uint8(VOID), predicted)
    counts = np.zeros((4, classes), dtype=np.int64)
    true, drawn = _boundary_points(truth), _boundary_points(masked)
    for label in set(true) | set(drawn):
        ours, theirs = (points.get(label, np.zeros((0, 2), dtype=np.int64)) for points in (drawn, true))
        counts[:, label] = len(ours), _near(ours, theirs, limit), len(theirs), _near(theirs, ours, limit)
    return counts


def tolerance(size: tuple[int, ...]) -> float:
    """Return the distance in pixels within which boundaries of a map of this (height, width) agree."""
    return max(1.0, TOLERANCE * math.hypot(*size))


def boundary_pixels(labels: ClassMap) -> NDArray[np.bool_]:
    """Return True at the boundary pixels of all classes, `(h, w)`."""
    is_edge = np.zeros(labels.shape, dtype=bool)
    for here, there in (
        (np.s_[:-1], np.s_[1:]), (np.s_[1:], np.s_[:-1]), (np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:, 1:], np.s_[:, :-1]),
    ):  # fmt: skip
        is_edge[here] |= (labels[here] != labels[there]) & (labels[here] != VOID) & (labels[there] != VOID)
    return is_edge


def _boundary_points(labels: ClassMap) -> dict[int, Ints]:
    """Return the boundary pixels `(k, 2)` of each class that has any."""
    is_edge = boundary_pixels(labels)
    points = np.argwhere(is_edge)
    own = labels[is_edge]
    return {int(label): points[own == label] for label in np.unique(own)}


def _near(points: Ints, others: Ints, limit: float) -> int:
    """Return how many of the points have another one within `limit` pixels."""
    if not len(points) or not len(others):
        return 0
    from scipy.spatial import KDTree  # takes a tenth of a second to import

    distances, _ = KDTree(others).query(points, distance_upper_bound=limit * (1 + 1e-9))
    return int(np.isfinite(distances).sum())


def joined_facts(before: Facts, after: Facts) -> Facts:
    """Return the facts of two models about the same n images as those of 2n images: `before`'s, then `after`'s."""
    return Facts(*(np.concatenate([getattr(before, name), getattr(after, name)]) for name in Facts.__slots__))


def measure(image_facts: Facts, draws: Ints, names: Collection[str] | None = None) -> dict[str, Floats]:
    """Return the scores called `names` (all if None) over each row of `draws (r, m)`: `(r,)`, or `(r, classes)` for `BY_CLASS`.

    `miou` and `iou`, `dice` and `dice_by_class`, `pixel_accuracy`, `boundary_f` and `boundary_f_by_class` (the harmonic
    mean of the precision and the recall of boundary pixels).
    """
    step = _CELLS // max(1, len(image_facts.hits))
    return selected(joined([_measured(image_facts, block) for block in blocks(draws, step)]), names)


def _measured(image_facts: Facts, draws: Ints) -> dict[str, Floats]:
    counts = counts_of(draws, len(image_facts.hits)).T.astype(np.float64)
    total = {name: counts @ getattr(image_facts, name) for name in Facts.__slots__}
    both = total["calls"] + total["support"]
    iou = ratio(total["hits"], both - total["hits"])
    dice = ratio(2 * total["hits"], both)
    boundary = _boundary_f(total)
    return {
        "miou": mean_of_defined(iou),
        "dice": mean_of_defined(dice),
        "pixel_accuracy": ratio(total["hits"].sum(axis=1), total["support"].sum(axis=1)),
        "boundary_f": mean_of_defined(boundary),
        "iou": iou,
        "dice_by_class": dice,
        "boundary_f_by_class": boundary,
    }


def _boundary_f(total: dict[str, Floats]) -> Floats:
    """Return F by class; undefined without any boundary, and 0 if only truth or prediction has one."""
    precision = total["drawn_near"] / np.maximum(total["drawn"], 1)
    recall = total["edges_near"] / np.maximum(total["edges"], 1)
    score = 2 * precision * recall / np.where(precision + recall > 0, precision + recall, 1)
    return np.where(total["drawn"] + total["edges"] > 0, score, np.nan)
