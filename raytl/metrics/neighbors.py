"""Classify images by their nearest neighbors in a feature space, by cosine similarity and cross-validation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

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


def neighbor_probabilities(
    features: ArrayLike, classes: ArrayLike, groups: ArrayLike, count: int = 10
) -> NDArray[np.float64]:
    """Return the fraction of each class among the `count` nearest images of other groups, `(n, classes)`, with half a vote more
    for each.

    `features (n, d)`, `classes (n,)` from 0 on, `groups (n,)`. The half votes (Jeffreys 1946) keep every class possible.
    """
    truth = np.asarray(classes, dtype=np.int64)
    similarity = _cosines(np.asarray(features, dtype=np.float32))
    own = np.asarray(groups)
    similarity[own[:, None] == own] = -np.inf
    nearest = _nearest(similarity, min(count, len(truth) - int(np.unique(own, return_counts=True)[1].max())))
    votes = np.full((len(truth), int(truth.max()) + 1), 0.5)
    np.add.at(votes, (np.arange(len(truth))[:, None], truth[nearest]), 1.0)
    return np.asarray(votes / votes.sum(axis=1, keepdims=True))


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
