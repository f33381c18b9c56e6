"""Attributes of images by which errors are sliced: texts, numbers in thirds, and clusters of features.

Bins and clusters are chosen on the validation images; test images are put into them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raytl.metrics.confusion import Floats, Ints

UNKNOWN = -1
"""The code of an image whose value is not finite, which is in no slice."""
CLUSTERS = 8
"""The largest number of clusters of features."""
_WIDTH = 64
"""Features are reduced to this many principal components before they are clustered."""


@dataclass(frozen=True, eq=False)
class Attribute:
    """One attribute: image `i` of validation has the value `values[val[i]]`, image `j` of test `values[test[j]]`.

    `val (n,)` and `test (m,)` are codes, -1 where the value is not finite.
    """

    name: str
    values: tuple[str, ...]
    val: Ints
    test: Ints


def of_texts(name: str, val: Sequence[str], test: Sequence[str]) -> Attribute:
    """Return the attribute with the texts of the images of both splits; an empty text is unknown."""
    values = tuple(sorted(set(val) - {""}))
    codes = {value: code for code, value in enumerate(values)}
    return Attribute(
        name, values, *(np.array([codes.get(text, UNKNOWN) for text in part], np.int64) for part in (val, test))
    )


def of_numbers(name: str, val: ArrayLike, test: ArrayLike, bins: int = 3) -> Attribute:
    """Return the attribute with the numbers of both splits in `bins` parts of about equally many validation images.

    Numbers that are not finite are unknown. Fewer bins are returned where many numbers are equal.
    """
    parts = [np.asarray(part, np.float64) for part in (val, test)]
    finite = parts[0][np.isfinite(parts[0])]
    edges = np.unique(np.quantile(finite, np.arange(1, bins) / bins)) if len(finite) else np.zeros(0)
    edges = edges[(edges > finite.min()) & (edges <= finite.max())] if len(finite) else edges
    codes = [np.where(np.isfinite(part), np.searchsorted(edges, part, side="right"), UNKNOWN) for part in parts]
    return Attribute(name, _ranges(edges), codes[0], codes[1])


def _ranges(edges: Floats) -> tuple[str, ...]:
    """Return the names of the bins between `edges`."""
    if not len(edges):
        return ("all",)
    texts = [f"{edge:.3g}" for edge in edges]
    between = [f"{low} to {high}" for low, high in pairwise(texts)]
    return (f"below {texts[0]}", *between, f"{texts[-1]} and more")


def of_features(name: str, val: Floats, test: Floats, clusters: int = CLUSTERS, seed: int = 0) -> Attribute:
    """Return the attribute with the k-means cluster of the features `val (n, d)`; `test (m, d)` take the nearest center.

    Features are standardized and reduced to their principal components first. Clusters are numbered by size, the largest first.
    """
    mean, scale = val.mean(axis=0), val.std(axis=0)
    standard = [(part - mean) / np.where(scale > 0, scale, 1.0) for part in (val, test)]
    axes = np.linalg.svd(standard[0], full_matrices=False)[2][:_WIDTH]
    near, far = (part @ axes.T for part in standard)
    centers = _centers(near, min(clusters, len(np.unique(near, axis=0))), seed)
    codes = _nearest(near, centers)
    order = np.argsort(-np.bincount(codes, minlength=len(centers)), kind="stable")
    rank = np.argsort(order, kind="stable")
    names = tuple(str(number + 1) for number in range(len(centers)))
    return Attribute(name, names, rank[codes], rank[_nearest(far, centers)])


def _centers(points: Floats, clusters: int, seed: int) -> Floats:
    from scipy.cluster.vq import kmeans2

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
        centers, _ = kmeans2(points, clusters, minit="++", rng=np.random.default_rng(seed))
    return np.asarray(centers)


def _nearest(points: Floats, centers: Floats) -> NDArray[np.int64]:
    """Return the index of the nearest center of each point, `(n,)`."""
    squares = np.square(centers).sum(axis=1) - 2 * points @ centers.T
    return np.asarray(squares.argmin(axis=1), np.int64)
