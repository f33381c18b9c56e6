"""The mistakes of linear probes that learn from a growing part of the training images. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from raytl.advice.measure import class_weights
from raytl.events import OnEvent, Work
from raytl.metrics.confusion import Floats
from raytl.metrics.learning_curve import LearningCurve, learning_curve
from raytl.models.frozen import PENALTIES, Ridge, probe_folds

FRACTIONS = tuple(2 ** (-half / 2) for half in range(6, -1, -1))
"""Parts of the images that learn: an eighth to all of those of four folds."""
REPEATS = ((300, 8), (800, 4))
"""Divisions into folds, for fewer images than these; two for more."""


def probe_curve(
    features: Tensor,
    classes: NDArray[np.int64],
    on_event: OnEvent,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
) -> LearningCurve:
    """Return the learning curve of a probe on `features (n, d)`: balanced error by images, cross-validated at each size.

    In each division into folds, the parts of a class that learn contain each other, and images of one of `groups (n,)` are in
    one fold. Each size has the penalty with the lowest error.
    """
    count, weights = len(classes), class_weights(classes)
    repeats = next((number for bound, number in REPEATS if count < bound), 2)
    rng = np.random.default_rng(seed)
    wrong = np.zeros((len(FRACTIONS), len(PENALTIES), repeats, count), dtype=np.bool_)
    images = np.zeros((len(FRACTIONS), repeats))
    for repeat in range(repeats):
        order = rng.permutation(count)
        fold = np.empty(count, dtype=np.int64)
        fold[order] = probe_folds(classes[order], None if groups is None else groups[order])
        for number in range(int(fold.max()) + 1):
            held_out = np.flatnonzero(fold == number)
            ranked = order[fold[order] != number]
            for size, learn in enumerate(_parts(ranked, classes)):
                images[size, repeat] += len(learn) * len(held_out) / count
                for place, penalty in enumerate(PENALTIES):
                    wrong[size, place, repeat, held_out] = _mistakes(features, classes, learn, held_out, penalty)
            on_event(
                Work(
                    "learning curve",
                    repeat * (int(fold.max()) + 1) + number + 1,
                    repeats * (int(fold.max()) + 1),
                    "fits",
                )
            )
    return learning_curve(*_distinct(images.mean(axis=1), _best(wrong, weights)), weights, seed=seed)


def _parts(ranked: NDArray[np.int64], classes: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the images that learn at each size: the first of each class, at least one."""
    own = classes[ranked]
    counts = np.bincount(own, minlength=int(classes.max()) + 1)
    rank = np.zeros(len(ranked), dtype=np.int64)
    for name in np.unique(own):
        rank[own == name] = np.arange(counts[name])
    for fraction in FRACTIONS:
        yield ranked[rank < np.ceil(fraction * counts[own] - 1e-9)]


def _mistakes(
    features: Tensor, classes: NDArray[np.int64], learn: NDArray[np.int64], held_out: NDArray[np.int64], penalty: float
) -> NDArray[np.bool_]:
    score = Ridge(features[learn].double(), classes[learn], int(classes.max()) + 1, penalty)
    return np.asarray(score(features[held_out].double()).argmax(axis=1) != classes[held_out])


def _best(wrong: NDArray[np.bool_], weights: Floats) -> NDArray[np.bool_]:
    """Return the mistakes with the best penalty of each size, `(sizes, repeats, n)`."""
    errors = (wrong.mean(axis=2) @ weights).argmin(axis=1)
    return np.asarray(wrong[np.arange(len(wrong)), errors])


def _distinct(images: Floats, wrong: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the sizes that differ; small classes give the same images for several fractions."""
    _, places = np.unique(np.round(images, 6), return_index=True)
    return images[places], wrong[places]
