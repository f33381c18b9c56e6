"""Nearest neighbors in a feature space: the class of an image by cross-validation, and its distance from the images that a model was
trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raytl.metrics.confusion import Floats

_AT_ONCE = 1 << 24
"""Distances computed at a time."""
NEIGHBORS = (1, 3, 5, 10, 20)
_TIE = 1e-4
"""Weight that a vote loses by rank, so that of two classes with equal votes the nearer wins."""


def neighbor_classes(features: ArrayLike, classes: ArrayLike, fold: ArrayLike) -> NDArray[np.int64]:
    """Return the class of each of n images by a vote of its nearest neighbors in the other folds, `(n,)`.

    `features (n, d)`, `classes (n,)` from 0 on, `fold (n,)`. The number of neighbors, one of `NEIGHBORS`, is chosen for
    each fold by leaving out one image at a time of the other folds, so that the answers are those for new images.
    """
    truth, folds = np.asarray(classes, dtype=np.int64), np.asarray(fold)
    similarity = _cosines(np.asarray(features, dtype=np.float32))
    np.fill_diagonal(similarity, -np.inf)
    answer = np.empty_like(truth)
    for number in np.unique(folds):
        held_out, learn = np.flatnonzero(folds == number), np.flatnonzero(folds != number)
        among = _votes(similarity[np.ix_(learn, learn)], truth[learn], len(learn) - 1)
        best = max(among, key=lambda k: float((among[k] == truth[learn]).mean()), default=0)
        answer[held_out] = _votes(similarity[np.ix_(held_out, learn)], truth[learn], max(best, 1))[max(best, 1)]
    return answer


def _cosines(features: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.maximum(lengths, np.finfo(np.float32).tiny)
    return np.asarray(unit @ unit.T)


def _votes(similarity: NDArray[np.float32], classes: NDArray[np.int64], limit: int) -> dict[int, NDArray[np.int64]]:
    """Return the winning class of each row of `similarity (m, n)` by number of neighbors, up to `limit`."""
    counts = [k for k in NEIGHBORS if k <= limit]
    nearest = _nearest(similarity, max(counts, default=0))
    rows, width = np.arange(len(similarity)), int(classes.max()) + 1
    winners = {}
    for k in counts:
        cells = rows[:, None] * width + classes[nearest[:, :k]]
        weights = np.broadcast_to(1 - _TIE * np.arange(k), cells.shape)
        votes = np.bincount(cells.ravel(), weights.ravel(), len(rows) * width)
        winners[k] = votes.reshape(len(rows), width).argmax(axis=1)
    return winners


def _nearest(similarity: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the `count` most similar images of each row, the nearest first, `(m, count)`."""
    rows = np.arange(len(similarity))[:, None]
    any_order = np.argpartition(-similarity, max(count - 1, 0), axis=1)[:, :count]
    return np.asarray(any_order[rows, np.argsort(-similarity[rows, any_order], axis=1, kind="stable")])


def neighbors(reference: int) -> int:
    """Return k: 50 as in the paper, and less for small references, at least 1."""
    return max(1, min(50, reference // 50))


def knn_distance(
    features: ArrayLike,
    reference: ArrayLike,
    k: int,
    labels: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> Floats:
    """Return the distance of each of `features (n, d)` to its k-th nearest of `reference (m, d)`, `(n,)`, after both are scaled
    to length 1 (Sun et al. 2022).

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
