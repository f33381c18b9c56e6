"""Measure what a random split hides: the accuracy on groups that a classifier of frozen features never saw.

Images of a site, a patient or a camera share more than their class. Whole groups are held out in turn, and the accuracy is
compared with that of random folds of the same sizes (cross-domain validation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.intervals import RESAMPLES, Interval, estimates
from raytl.models.frozen import PENALTIES, held_out_scores

SHUFFLES = 19
"""Divisions into random folds. If the accuracy with whole groups is below all of them, p is 0.05."""
MOST_FOLDS = 10
"""More groups are held out several at a time, in this many folds."""
MOST_IMAGES = 800
"""Of more images a sample is taken, which bounds the time to about ten seconds."""


@dataclass(frozen=True, slots=True)
class GroupAccuracy:
    """The accuracy on the images of one group: by classifiers that never saw the group, and by those of random folds."""

    name: str
    images: int
    held_out: float
    random: float


@dataclass(frozen=True, slots=True)
class GroupGap:
    """The accuracy with whole groups held out and with random folds, and the `gap` between them, each with its interval.

    `p` is the fraction of random divisions, with this one, whose accuracy is as low as that with whole groups. `groups` are
    sorted by their gap, the largest first. `left_out` images have a class that is in one group only.
    """

    column: str
    held_out: Interval
    random: Interval
    gap: Interval
    p: float
    groups: tuple[GroupAccuracy, ...]
    left_out: int

    @property
    def is_shown(self) -> bool:
        """Return whether random divisions hide something: at most 5 % of them are as hard as whole groups."""
        return self.p <= 1 / (SHUFFLES + 1)


def group_gap(
    features: Tensor, targets: Ints, groups: Sequence[str], column: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> GroupGap | None:
    """Return the gap between random folds and whole groups of `features (n, d)`; None without two groups and two classes.

    `targets (n,)` are class numbers, `groups` the group of each image. The penalty has the best accuracy on random folds.
    A class whose images are in one fold, of the sample and of groups that are held out together, is not scored: without that
    fold nothing could have learned it.
    Intervals are over images; with few groups they say nothing about groups that are not in the data.
    """
    rng = np.random.default_rng(seed)
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    learnable = learnable_images(targets, codes)
    if len(np.unique(codes[learnable])) < 2 or len(np.unique(targets[learnable])) < 2:
        return None
    usable = np.sort(rng.permutation(learnable)[:MOST_IMAGES])
    fold = _folds(codes[usable])
    taught = learnable_images(targets[usable], fold)
    usable, fold = usable[taught], fold[taught]
    if len(np.unique(targets[usable])) < 2:
        return None
    inputs, of_groups = features[usable.tolist()], codes[usable]
    classes = np.unique(targets[usable], return_inverse=True)[1]
    random, penalty = _random(inputs, classes, fold, rng)
    held_out = _correct(inputs, classes, fold, penalty)
    p = (1 + int((random.mean(axis=1) <= held_out.mean()).sum())) / (SHUFFLES + 1)
    of_images = [str(name) for name in names[of_groups]]
    return gap_between(
        column, of_images, held_out, random.mean(axis=0), p, len(targets) - len(learnable), resamples, seed
    )


def gap_between(
    column: str,
    groups: Sequence[str],
    held_out: Floats,
    random: Floats,
    p: float,
    left_out: int = 0,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> GroupGap:
    """Return the gap between the accuracies of n images of `groups (n,)`: `held_out (n,)` are 1 where the answer of what never
    saw the group is correct, `random (n,)` how often it is with random folds. The other arguments are as in `GroupGap`."""
    of_groups = np.asarray(groups)
    scored = [
        GroupAccuracy(str(name), int(of.sum()), float(held_out[of].mean()), float(random[of].mean()))
        for name, of in ((name, of_groups == name) for name in np.unique(of_groups))
    ]
    ranked = tuple(sorted(scored, key=lambda each: each.held_out - each.random))
    return GroupGap(column, *_intervals(held_out, random, resamples, seed), p, ranked, left_out)


def learnable_images(targets: Ints, codes: Ints) -> NDArray[np.int64]:
    """Return the images whose class is in two groups or more, of images of the classes `targets (n,)` and groups `codes (n,)`."""
    counts = np.zeros((int(targets.max(initial=0)) + 1, int(codes.max(initial=0)) + 1), np.bool_)
    counts[targets, codes] = True
    return np.flatnonzero(counts.sum(axis=1)[targets] > 1)


def _folds(codes: Ints) -> NDArray[np.int64]:
    """Return the fold of each image: one for each group, or for several of them if there are many."""
    present, numbers, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    if len(present) <= MOST_FOLDS:
        return np.asarray(numbers, np.int64)
    loads, places = np.zeros(MOST_FOLDS), np.zeros(len(present), np.int64)
    for group in np.argsort(-sizes, kind="stable"):
        places[group] = loads.argmin()
        loads[places[group]] += sizes[group]
    return places[numbers]


def _random(inputs: Tensor, classes: Ints, fold: Ints, rng: np.random.Generator) -> tuple[Floats, float]:
    """Return which images are classified correctly with random folds of the sizes of `fold`, `(SHUFFLES, n)`, and the penalty."""
    shuffled = [rng.permutation(fold) for _ in range(SHUFFLES)]
    first = {penalty: _correct(inputs, classes, shuffled[0], penalty) for penalty in PENALTIES}
    penalty = max(PENALTIES, key=lambda each: float(first[each].mean()))
    return np.stack([first[penalty], *(_correct(inputs, classes, each, penalty) for each in shuffled[1:])]), penalty


def _correct(inputs: Tensor, classes: Ints, fold: Ints, penalty: float) -> Floats:
    """Return 1 for each image that is classified correctly by what learned from the other folds, else 0, `(n,)`."""
    predicted = held_out_scores(inputs, classes, fold, penalty)[""].argmax(axis=1)
    return np.asarray(predicted == classes, np.float64)


def _intervals(held_out: Floats, random: Floats, resamples: int, seed: int) -> tuple[Interval, Interval, Interval]:
    def measure(draws: Ints) -> dict[str, Floats]:
        own, other = held_out[draws].mean(axis=1), random[draws].mean(axis=1)
        return {"held_out": own, "random": other, "gap": other - own}

    measured = estimates(measure, len(held_out), resamples=resamples, seed=seed)
    return measured["held_out"][0], measured["random"][0], measured["gap"][0]
