"""Choose a few-label method by cross-validation on the labelled images: none, unless another wins beyond noise.

Each method labels unlabelled images from the folds that learn, the same classifier learns from all of them, and the images of the
other fold score it; validation images score a classifier from all labelled images. With and without the method, the images
are the same, so a paired test says whether the difference is more than chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from raytl.labelling.confident import GivenLabels, confident
from raytl.labelling.pseudo import fitted, pseudo_labelled
from raytl.metrics.confusion import Ints
from raytl.metrics.paired import Paired, paired_classes
from raytl.models.frozen import probe_folds
from raytl.tasks.probe_solver import even_rows

METHODS = ("propagate", "pseudo")
LEVEL = 0.05
"""One-tailed level of all comparisons together."""
MARGIN = 0.01
"""A smaller gain in balanced accuracy is not worth labels that no person gave."""
MOST_LABELLED, MOST_UNLABELLED = 5000, 5000
"""The comparison learns from about this many labelled images, an even part of each class, and unlabelled ones at most."""
METRIC = "balanced_accuracy"
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Labelled:
    """Frozen features `(n, d)` of labelled images, their classes and, of images that stay together in a fold, their `groups (n,)`."""

    features: Vectors
    classes: Ints
    groups: Ints | None = None


@dataclass(frozen=True)
class Chosen:
    """The method that wins, `none` or one of `METHODS`, with the comparison of each with none, and the number of images that
    scored them."""

    method: str
    images: int
    compared: Mapping[str, Paired] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Return what was measured, in one sentence."""
        if not self.compared:
            return "none, as there are too few labelled images to compare methods"
        parts = [
            f"{name} {one.after:.1%} ({100 * one.gain:+.1f} points, p = {one.p_better:.2g})"
            for name, one in self.compared.items()
        ]
        before = next(iter(self.compared.values())).before
        return f"{self.method}, by balanced accuracy on {self.images} labelled images: none {before:.1%}, {', '.join(parts)}"


def given_labels(
    method: str, train: Labelled, others: Vectors, count: int, fraction: float, least: float = 0.0
) -> GivenLabels:
    """Return the labels that `method` gives to images with the features `others (m, d)`."""
    probabilities = _PROBABILITIES[method](np.concatenate([train.features, others]), train.classes, count, fraction)
    return confident(probabilities, fraction, least)


def _propagate(features: Vectors, classes: Ints, count: int, fraction: float) -> NDArray[np.float64]:
    from raytl.labelling.propagate import propagated  # imports SciPy, which takes a quarter of a second

    return propagated(features, classes, count)


_PROBABILITIES: Mapping[str, Callable[[Vectors, Ints, int, float], NDArray[np.float64]]] = {
    "propagate": _propagate,
    "pseudo": pseudo_labelled,
}


def choose(
    train: Labelled, val: Labelled, others: Vectors, count: int, fraction: float, least: float = 0.0, seed: int = 0
) -> Chosen:
    """Return the method that wins over none beyond noise; `others (m, d)` are features of unlabelled images.

    A class with a single image cannot be learned without it, and does not count. Images of a group are in one fold, except of a
    class that no other group has (see `probe_folds`).
    """
    train = _part(train)
    rows = np.random.default_rng(seed).permutation(len(others))[:MOST_UNLABELLED]
    others = others[np.sort(rows)]
    folds = probe_folds(train.classes, train.groups)
    counted = np.bincount(train.classes, minlength=count)[train.classes] > 1
    truth = np.concatenate([train.classes[counted], val.classes])
    if not len(truth) or not counted.any():
        return Chosen("none", 0)

    def answers(method: str) -> Ints:
        own = np.zeros(len(train.classes), np.int64)
        for number in np.unique(folds):
            learn = folds != number
            part = Labelled(train.features[learn], train.classes[learn])
            own[~learn] = _answers(method, part, others, train.features[~learn], count, fraction, least)
        held_out = (
            _answers(method, train, others, val.features, count, fraction, least) if len(val.classes) else val.classes
        )
        return np.concatenate([own[counted], held_out])

    before = answers("none")
    compared = {method: paired_classes(truth, before, answers(method), METRIC) for method in METHODS}
    best = max(METHODS, key=lambda method: compared[method].gain)
    wins = compared[best].p_better <= LEVEL / len(METHODS) and compared[best].gain >= MARGIN
    return Chosen(best if wins else "none", len(truth), compared)


def _part(train: Labelled) -> Labelled:
    """Return an even part of each class of many images."""
    rows = even_rows(train.classes, MOST_LABELLED)
    groups = None if train.groups is None else train.groups[rows]
    return Labelled(train.features[rows], train.classes[rows], groups)


def _answers(
    method: str, train: Labelled, others: Vectors, queries: Vectors, count: int, fraction: float, least: float
) -> Ints:
    """Return the classes of images with the features `queries` by a classifier that learned with `method`, `(m,)`."""
    inputs, classes = train.features, train.classes
    if method != "none":
        given = given_labels(method, train, others, count, fraction, least)
        inputs = np.concatenate([inputs, others[given.rows]])
        classes = np.concatenate([classes, given.classes])
    classifier, _ = fitted(inputs, classes, count, len(train.classes))
    answers: Ints = classifier(torch.from_numpy(queries).double()).argmax(axis=1)
    return answers
