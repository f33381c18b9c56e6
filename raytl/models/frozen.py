"""Cross-validate frozen features: how well they separate the classes, and which views keep the meaning of the images.

The accuracy is the measured distance from the source domain: features that already separate the classes need little
fine-tuning, features that do not need much (Kornblith et al. 2019; Cui et al. 2018). A view keeps the meaning of the images
if a classifier that never saw it is right on it as often as on the images themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raytl.metrics.calibration import decision_losses, fit_temperature
from raytl.metrics.neighbors import neighbor_probabilities
from raytl.metrics.scores import softmax
from raytl.metrics.suspects import pooled

FOLDS = 5
PENALTIES = (0.01, 0.1, 1.0)
"""Ridge penalties relative to the mean squared norm of the features; the one with the best cross-validated accuracy counts."""
LEFT_OUT_PENALTIES = (*PENALTIES, 10.0)


@dataclass(frozen=True, slots=True)
class ViewEffect:
    """Images that are classified correctly only as they are (`lost`), and only in the view (`gained`)."""

    lost: int
    gained: int

    @property
    def p_value(self) -> float:
        """Return the chance of so many lost images or more if the view changes nothing: the sign test (McNemar 1947)."""
        discordant = self.lost + self.gained
        ways = sum(math.comb(discordant, k) for k in range(self.lost, discordant + 1))
        return float(ways / 2**discordant)


@dataclass(frozen=True)
class FrozenFit:
    """The cross-validated balanced `accuracy` of a linear classifier on frozen features of `images` training images.

    `chance` is the accuracy of guessing. `gray` is the fraction of gray images.
    """

    images: int
    accuracy: float
    chance: float
    views: Mapping[str, ViewEffect]
    gray: float = 0.0

    @property
    def separation(self) -> float:
        """Return the accuracy between guessing (0) and perfection (1)."""
        return max(0.0, (self.accuracy - self.chance) / (1.0 - self.chance)) if self.chance < 1.0 else 0.0


def folds_of(
    targets: NDArray[np.int64], folds: int = FOLDS, groups: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Return the fold of each image, `(n,)`: those of a class are dealt out in turn, each class from another fold on.

    With `groups (n,)`, the images of a group are in one fold. The largest groups come first, each to the fold that has the
    least of its classes.
    """
    if groups is not None and len(np.unique(groups)) < len(groups):
        return _folds_of_groups(targets, folds, groups)
    places = np.empty(len(targets), dtype=np.int64)
    for offset, name in enumerate(np.unique(targets)):
        own = np.flatnonzero(targets == name)
        places[own] = (np.arange(len(own)) + offset) % folds
    return places


def _folds_of_groups(targets: NDArray[np.int64], folds: int, groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Deal out groups, then single images in turn: classes without groups of several images are dealt out as without groups."""
    _, first, own, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    classes, totals = np.unique(targets, return_inverse=True, return_counts=True)[1:]
    members = np.split(np.argsort(own, kind="stable"), np.cumsum(sizes)[:-1])
    loads, places = np.zeros((folds, len(totals))), np.empty(len(targets), np.int64)
    for group in np.lexsort((first, -sizes)):
        images = members[group]
        present = classes[images]
        turn = (np.arange(folds) - present[0]) % folds
        crowd = loads.sum(axis=1) if len(images) > 1 else turn
        cost = (loads[:, present] / totals[present]).sum(axis=1).round(9)
        places[images] = fold = np.lexsort((turn, crowd, cost))[0]
        np.add.at(loads[fold], present, 1)
    return places


def probe_folds(classes: NDArray[np.int64], groups: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Return the fold of each image for probes, `(n,)`; those of a group are in one fold.

    A class that only one group has could not be learned without it: its images are dealt out one by one.
    """
    return folds_of(classes, groups=None if groups is None else _separable(classes, groups))


def _separable(classes: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the groups, `(n,)`, where each image of a class that only one group has is a group of its own."""
    pairs = np.unique(np.stack([classes, groups]), axis=1)
    is_alone = (np.bincount(pairs[0], minlength=int(classes.max()) + 1) == 1)[classes]
    return np.where(is_alone, groups.max() + 1 + np.arange(len(groups)), groups)


def cross_validated(
    features: Tensor,
    targets: NDArray[np.int64],
    views: Mapping[str, Tensor],
    gray: float = 0.0,
    groups: NDArray[np.int64] | None = None,
) -> FrozenFit:
    """Fit ridge classifiers on `features (n, d)` of all folds but one, and score the images of that one and their `views`.

    `views` are the features of the same images in other views, `(n, d)` each. Images of one of `groups (n,)` are in one fold.
    Deterministic.
    """
    classes = np.unique(targets, return_inverse=True)[1]
    scores = probe_scores(features, classes, views, groups)
    correct = {name: table.argmax(axis=1) == classes for name, table in scores.items()}
    as_is = correct.pop("")
    effects = {
        name: ViewEffect(int((as_is & ~each).sum()), int((each & ~as_is).sum())) for name, each in correct.items()
    }
    return FrozenFit(len(classes), _balanced(as_is, classes), 1.0 / (classes.max() + 1), effects, gray)


def probe_scores(
    features: Tensor,
    classes: NDArray[np.int64],
    views: Mapping[str, Tensor] = MappingProxyType({}),
    groups: NDArray[np.int64] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Return the scores of the images (key "") and of each view, `(n, k)`, from the penalty with the best accuracy.

    Each row comes from a classifier that learned from the other folds (see `probe_folds`); `classes (n,)` are 0 to k - 1.
    """
    fold = probe_folds(classes, groups)
    scored = [held_out_scores(features, classes, fold, penalty, views) for penalty in PENALTIES]
    return max(scored, key=lambda scores: _balanced(scores[""].argmax(axis=1) == classes, classes))


def left_out_probabilities(
    features: Tensor, classes: NDArray[np.int64], groups: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Return the probabilities that the other images give each, `(n, k)`: of a ridge classifier and of its neighbors, pooled.

    With `groups (n,)`, they are those of the images of other groups; of a class that only one group has, of all others.
    The features are scaled to length 1. The ridge classifier leaves each image out in closed form (Allen 1974); its penalty has
    the lowest log loss, after one temperature. Chosen for finding wrong labels (experiments/LOG.md).
    """
    count = int(classes.max()) + 1
    inputs = torch.nn.functional.normalize(features.double())
    own = np.arange(len(classes)) if groups is None else _separable(classes, groups)
    tables = [Ridge(inputs, classes, count, penalty).left_out(own) for penalty in LEFT_OUT_PENALTIES]
    scaled = [scores / fit_temperature(classes, scores) for scores in tables]
    best = min(scaled, key=lambda scores: float(decision_losses(classes, scores).mean()))
    return pooled([softmax(best), neighbor_probabilities(inputs.numpy(), classes, own)])


def held_out_scores(
    features: Tensor,
    classes: NDArray[np.int64],
    fold: NDArray[np.int64],
    penalty: float,
    views: Mapping[str, Tensor] = MappingProxyType({}),
) -> dict[str, NDArray[np.float64]]:
    """Return `probe_scores` for one penalty and one division into folds."""
    scores = {name: np.zeros((len(classes), int(classes.max()) + 1)) for name in ("", *views)}
    for number in np.unique(fold):
        held_out = fold == number
        learn = torch.from_numpy(~held_out)
        score = Ridge(features[learn].double(), classes[~held_out], int(classes.max()) + 1, penalty)
        for name, values in {"": features, **views}.items():
            scores[name][held_out] = score(values[~learn].double())
    return scores


class Ridge:
    """A ridge classifier on standardized features: one weighted least-squares problem for all classes, in the dual."""

    def __init__(self, inputs: Tensor, classes: NDArray[np.int64], count: int, penalty: float) -> None:
        self._mean, self._scale = inputs.mean(0), inputs.std(0, correction=0).clamp_min(1e-6)
        self._inputs = (inputs - self._mean) / self._scale
        present = np.bincount(classes, minlength=count)
        weights = torch.from_numpy(1.0 / present[classes])
        wanted = torch.nn.functional.one_hot(torch.from_numpy(classes), count).double() * 2 - 1
        wanted[:, torch.from_numpy(present == 0)] = -1.0
        gram = self._inputs @ self._inputs.T
        variance = gram.diagonal().mean().clamp_min(1e-3)  # 0 if a network has the same features for all images
        ridge = penalty * variance / (weights / weights.mean())
        self._system, self._wanted = gram + torch.diag(ridge) + 1.0, wanted
        self._alpha = torch.linalg.solve(self._system, wanted)

    def __call__(self, inputs: Tensor) -> NDArray[np.float64]:
        """Return the score of each class, about 1 for the true one and -1 for others, `(m, classes)`."""
        values = (inputs - self._mean) / self._scale
        scores: NDArray[np.float64] = ((values @ self._inputs.T + 1.0) @ self._alpha).numpy()
        return scores

    def left_out(self, groups: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the scores of the images that it learned from, each from those of other `groups (n,)`, `(n, classes)`.

        Means, scales and class weights are those of all images.
        """
        inverse = torch.linalg.inv(self._system)
        errors = self._alpha / inverse.diagonal()[:, None]
        names, sizes = np.unique(groups, return_counts=True)
        for name in names[sizes > 1]:
            images = torch.from_numpy(np.flatnonzero(groups == name))
            errors[images] = torch.linalg.solve(inverse[images][:, images], self._alpha[images])
        scores: NDArray[np.float64] = (self._wanted - errors).numpy()
        return scores


def _balanced(correct: NDArray[np.bool_], classes: NDArray[np.int64]) -> float:
    return float(np.mean([correct[classes == name].mean() for name in np.unique(classes)]))
