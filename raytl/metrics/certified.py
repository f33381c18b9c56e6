"""Thresholds that keep a promise: chosen among a fixed grid so that the chance that any of them breaks it is at most `DELTA`.

Learn then Test (Angelopoulos et al. 2021): each threshold is tested on validation against "the promise is broken" with an exact
binomial test, with Bonferroni's correction over the grid. The grid does not depend on the data. Promises are fractions: the
answers at least as confident as the threshold that are right, or the images of a class that its probability recalls.

Images of a group (a patient, a site) err together. With groups, a group counts once, with its own fraction, and the promise is
about the average over groups: its test takes means of fractions (Bates et al. 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raytl.metrics.binomial import error_free_trials, p_below, p_mean_below
from raytl.metrics.confusion import Floats
from raytl.metrics.draws import Groups
from raytl.metrics.intervals import Interval

DELTA = 0.05
"""The chance that a certified threshold breaks its promise on new images of the same kind."""
ANSWER_GRID: Floats = np.concatenate([[0.0], 1 / (1 + np.exp(-np.linspace(0, 8, 9)))])
"""Confidences from which images are answered: all, and one half to 0.9997 in steps of one in the log odds."""
RECALL_GRID: Floats = 1 / (1 + np.exp(-np.linspace(8, -8, 17)))
"""Probabilities of a class from which an image counts as of that class, from high to low."""
PRESENCE_GRID: Floats = 1 / (1 + np.exp(-np.linspace(-4, 8, 13)))
"""Probabilities of a label from which it counts as present, from low to high; none below 1 %, where labels are not stored."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The `threshold` that is certified for an aim; None if there is none.

    `hits` of `trials` validation images support it, or the best threshold if none is certified. `needed` images without an
    error would do. With groups, `trials` are groups, and `hits` the sum of their fractions, rounded down.
    """

    threshold: float | None
    hits: int
    trials: int
    needed: int


def certified_accuracy(
    confidence: Floats, correct: NDArray[np.bool_], aim: float, groups: Groups | None = None
) -> Certificate:
    """Return the lowest threshold of `ANSWER_GRID` from which at least the fraction `aim` of the answers is right.

    `confidence (n,)` and `correct (n,)` are of validation. The lowest certified threshold answers the most images.
    """
    return certificate(ANSWER_GRID, *answer_counts(confidence, correct, groups), aim, groups is not None)


def certified_recall(probability: Floats, aim: float, groups: Groups | None = None) -> Certificate:
    """Return the highest threshold of `RECALL_GRID` that at least the fraction `aim` of a class reaches.

    `probability (n,)` is that of the class, for its validation images. The highest certified threshold has the fewest false
    alarms.
    """
    return certificate(RECALL_GRID, *recall_counts(probability, groups), aim, groups is not None)


def certified_presence(probability: Floats, present: NDArray[np.bool_], aim: float) -> Certificate:
    """Return the lowest threshold of `PRESENCE_GRID` from which at least the fraction `aim` of the images has the class.

    `probability (n,)` is that of the class, `present (n,)` whether a validation image has it. The lowest certified threshold finds
    the most.
    """
    taken = probability[:, None] >= PRESENCE_GRID
    return certificate(PRESENCE_GRID, (taken & present[:, None]).sum(axis=0), taken.sum(axis=0), aim)


def certificate(grid: Floats, hits: ArrayLike, trials: ArrayLike, aim: float, of_groups: bool = False) -> Certificate:
    """Return the first threshold of `grid (m,)` that is certified for `aim` by its counts on validation, `(m,)`."""
    hits, trials, level = np.asarray(hits), np.asarray(trials), DELTA / len(grid)
    p = np.vectorize(p_mean_below, [float])(hits, trials, aim) if of_groups else p_below(hits, trials, aim)
    passed = np.flatnonzero(p <= level)
    place = int(passed[0]) if len(passed) else int(np.argmin(p))
    threshold = float(grid[place]) if len(passed) else None
    return Certificate(threshold, int(hits[place]), int(trials[place]), error_free_trials(aim, level))


@dataclass(frozen=True, eq=False)
class Curve:
    """Counts at each distinct threshold, from strict to loose: `threshold (m,)`, the images that reach it `taken (m,)`, and
    those of them that count, `hits (m,)`."""

    threshold: Floats
    taken: NDArray[np.int64]
    hits: NDArray[np.int64]


def curve(score: Floats, positive: NDArray[np.bool_]) -> Curve:
    """Return the counts of a coverage-accuracy curve (`score` is the confidence, `positive` are right answers), or of a
    precision-recall curve (the probability of a class, and its images)."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=-np.inf))
    return Curve(score[order][ends], ends + 1, np.cumsum(positive[order])[ends].astype(np.int64))


def answer_counts(
    confidence: Floats, correct: NDArray[np.bool_], groups: Groups | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the right answers and all answers from each threshold of `ANSWER_GRID` on, both `(10,)`; see `counted`."""
    answered = confidence[:, None] >= ANSWER_GRID
    return counted(answered, answered & correct[:, None], groups)


def recall_counts(probability: Floats, groups: Groups | None = None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the images of a class that reach each threshold of `RECALL_GRID`, and all its images, both `(17,)`; see
    `counted`."""
    is_high = probability[:, None] >= RECALL_GRID
    return counted(np.ones_like(is_high), is_high, groups)


def counted(
    taken: NDArray[np.bool_], good: NDArray[np.bool_], groups: Groups | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the images that are `good`, and that are `taken`, at each threshold, from marks `(n, m)`.

    With `groups (n,)`, they are the sum of the fractions of the groups, rounded down, and the groups with an image that is taken.
    """
    if groups is None:
        return good.sum(axis=0), taken.sum(axis=0)
    owners = np.unique(groups, return_inverse=True)[1]
    hits, trials = (np.zeros((len(groups), taken.shape[1]), np.int64) for _ in range(2))
    np.add.at(hits, owners, good)
    np.add.at(trials, owners, taken)
    fractions = (hits / np.maximum(trials, 1)).sum(axis=0)
    return np.floor(fractions + 1e-9).astype(np.int64), (trials > 0).sum(axis=0)


def is_confirmed(test: Interval, aim: float) -> bool:
    """Return True if images of test could contradict that at least the fraction `aim` keeps the promise, and do not."""
    return not math.isnan(test.value) and test.high >= aim
