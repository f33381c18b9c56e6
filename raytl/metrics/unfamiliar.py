"""The distance of images to those that a model was trained on: that to the k-th neighbor on normalized features (Sun et al.
2022)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raytl.metrics.confusion import Floats

_AT_ONCE = 1 << 24
"""Distances computed at a time."""


def neighbors(reference: int) -> int:
    """Return k: 50 as in the paper, and less for small references, at least 1."""
    return max(1, min(50, reference // 50))


def balanced_rows(targets: NDArray[np.int64], count: int, seed: int = 0) -> NDArray[np.int64]:
    """Return the rows of at most `count` of n images, ascending: the same random number of each class, as far as it has so many.

    A random part of all images would leave few neighbors to the images of a rare class, which would seem unfamiliar.
    """
    if len(targets) <= count:
        return np.arange(len(targets))
    order = np.random.default_rng(seed).permutation(len(targets))
    rank = np.empty(len(targets), np.int64)
    for label in np.unique(targets):
        own = order[targets[order] == label]
        rank[own] = np.arange(len(own))
    return np.sort(order[np.argsort(rank[order], kind="stable")[:count]])


def knn_distance(
    features: ArrayLike,
    reference: ArrayLike,
    k: int,
    labels: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> Floats:
    """Return the distance of each of `features (n, d)` to its k-th nearest of `reference (m, d)`, `(n,)`, after both are scaled
    to length 1.

    With `labels`, `(n,)` and `(m,)`, images of the same label are no neighbors: the distance is that of an image of a class
    that the reference lacks. It is at most 2, also without neighbors.
    """
    unit, base = _normalized(features), _normalized(reference)
    nth = min(k, len(base)) - 1
    result = np.empty(len(unit))
    step = max(1, _AT_ONCE // len(base))
    for start in range(0, len(unit), step):
        similarity = unit[start : start + step] @ base.T
        if labels is not None:
            similarity[labels[0][start : start + step, None] == labels[1]] = -1.0
        nearest = np.partition(-similarity, nth, axis=1)[:, nth]
        result[start : start + step] = np.sqrt(np.maximum(0.0, 2 + 2 * nearest.astype(np.float64)))
    return result


def auroc(inside: Floats, outside: Floats) -> float:
    """Return how often a score of `outside` is higher than one of `inside`; ties count half (Mann and Whitney 1947)."""
    both = np.concatenate([inside, outside])
    _, inverse, counts = np.unique(both, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    total = rank[len(inside) :].sum() - len(outside) * (len(outside) + 1) / 2
    return float(total / (len(inside) * len(outside)))


def _normalized(features: ArrayLike) -> Floats:
    values = np.asarray(features, dtype=np.float32)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12))
