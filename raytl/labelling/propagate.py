"""Label propagation: the labels of a few images spread to others over a graph of nearest neighbours in feature space.

After Zhou et al. 2004 ("Learning with local and global consistency"), on the graph of Iscen et al. 2019: cosine similarities of
the nearest neighbours, to a power that favours close ones. Classes that attract more than their part of the images are
scaled down (class mass normalization, Zhu et al. 2003).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array

from raytl.metrics.confusion import Floats, Ints

NEIGHBOURS = 10
"""Neighbours of each image in the graph."""
POWER = 3.0
"""Exponent of the similarities (Iscen et al. 2019)."""
ALPHA = 0.95
"""How much of an image's label comes from its neighbours; the rest from its own."""
_MOST_ROWS, _BLOCK_BYTES, _CELL_BYTES = 2048, 400_000_000, 16
"""The similarities of a block of images with all others, and what finds the nearest in it."""
_STEPS = 300
_TOLERANCE = 1e-7
_SMALL = 1e-12


def propagated(
    features: NDArray[np.float32],
    classes: Ints,
    count: int,
    neighbours: int = NEIGHBOURS,
    alpha: float = ALPHA,
) -> Floats:
    """Return the probabilities of the `count` classes for images without labels, `(n - m, count)`.

    `features (n, d)` are those of the m labelled images, of `classes (m,)`, and behind them those of the others.
    """
    seeds = np.zeros((len(features), count))
    seeds[np.arange(len(classes)), classes] = 1.0
    scores = solution(neighbour_graph(features, neighbours), seeds, alpha)[len(classes) :]
    return balanced(np.maximum(scores, 0.0), np.bincount(classes, minlength=count) / len(classes))


def neighbour_graph(features: NDArray[np.float32], neighbours: int) -> csr_array:
    """Return the symmetric weights of a graph that joins each image with its nearest ones, `(n, n)`, by the cosine of their
    `features (n, d)` about the mean."""
    features = features - features.mean(axis=0)
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), _SMALL)
    n, width = len(unit), min(neighbours, len(unit) - 1)
    columns, values = np.empty((n, width), np.int64), np.empty((n, width))
    step = rows_at_once(n)
    for start in range(0, n, step):
        part = slice(start, start + step)
        similarity = unit[part] @ unit.T
        similarity[np.arange(len(similarity)), np.arange(start, start + len(similarity))] = -np.inf
        columns[part] = np.argpartition(-similarity, width - 1, axis=1)[:, :width] if width else 0
        values[part] = np.take_along_axis(similarity, columns[part], axis=1)
    weights = np.maximum(values, 0.0) ** POWER
    directed = coo_array((weights.ravel(), (np.repeat(np.arange(n), width), columns.ravel())), shape=(n, n)).tocsr()
    return csr_array(directed + directed.T)


def rows_at_once(n: int) -> int:
    """Return how many images are compared with all `n` at once, in bounded memory."""
    return min(_MOST_ROWS, max(1, _BLOCK_BYTES // (_CELL_BYTES * n)))


def solution(graph: csr_array, seeds: Floats, alpha: float) -> Floats:
    """Return the labels after propagation, `(n, k)`: the solution of `(1 - alpha S) F = (1 - alpha) Y`, where S is `graph (n, n)` with
    normalized degrees and Y are `seeds (n, k)`."""
    degree = np.asarray(graph.sum(axis=1)).ravel()
    scale = diags_array(1.0 / np.sqrt(np.maximum(degree, _SMALL)))
    normalized = csr_array(scale @ graph @ scale)
    residual = (1 - alpha) * seeds
    result: Floats = np.zeros_like(seeds)
    direction, size = residual, (residual**2).sum(axis=0)
    enough = _TOLERANCE**2 * np.maximum(size, _SMALL)
    for _ in range(_STEPS):  # conjugate gradients, for each class
        if (size <= enough).all():
            break
        moved = direction - alpha * (normalized @ direction)
        step = size / np.maximum((direction * moved).sum(axis=0), 1e-300)
        result, residual = result + step * direction, residual - step * moved
        before, size = size, (residual**2).sum(axis=0)
        direction = residual + size / np.maximum(before, 1e-300) * direction
    return result


def balanced(scores: Floats, prior: Floats) -> Floats:
    """Return probabilities from non-negative `scores (n, k)`, scaled so that each class has its `prior (k,)` of the mass."""
    fraction = scores / np.maximum(scores.sum(axis=1, keepdims=True), _SMALL)
    scaled = fraction * (prior / np.maximum(fraction.mean(axis=0), _SMALL))
    total = scaled.sum(axis=1, keepdims=True)
    return np.asarray(np.where(total > 0, scaled / np.maximum(total, _SMALL), 1.0 / scores.shape[1]))
