"""Suspect labels: images whose held-out probabilities speak for another class (confident learning, Northcutt et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raytl.metrics.confusion import Floats
from raytl.metrics.scores import softmax

TRUSTED = 0.5
"""Balanced accuracy of answers, between guessing (0) and perfection (1), below which they suspect no label."""
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Suspect:
    """The image at `place` is labeled `given`, which has the `probability`; the class `suggested` has more, by a `margin` in (0, 1]."""

    place: int
    given: int
    suggested: int
    probability: float
    margin: float


def is_trusted(accuracy: float, classes: int) -> bool:
    """Return whether answers of this balanced accuracy separate the `classes` well enough to suspect labels."""
    chance = 1 / classes
    return accuracy - chance >= TRUSTED * (1 - chance)


def confident_learning(targets: ArrayLike, probabilities: ArrayLike) -> NDArray[np.bool_]:
    """Return which labels among `targets (n,)` are in the off-diagonal part of the confident joint, `(n,)`.

    A class speaks for an image if it is at least as likely there as in the mean of the images labeled so. Of several, the
    likeliest class is meant. A label that is the likeliest class itself is never listed. The labels are those of cleanlab's
    `find_label_issues(filter_by="confident_learning")`; see `suspects` for `probabilities (n, classes)`.
    """
    given, table = np.asarray(targets, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
    if not len(given):
        return np.zeros(0, np.bool_)
    is_speaking = table >= _thresholds(given, table) - _ROUNDING
    likeliest = table.argmax(axis=1)
    meant = np.where(is_speaking.sum(axis=1) > 1, likeliest, is_speaking.argmax(axis=1))
    result: NDArray[np.bool_] = is_speaking.any(axis=1) & (meant != given) & (likeliest != given)
    return result


def _thresholds(given: NDArray[np.int64], table: Floats) -> Floats:
    """Return the mean probability of each class in the images labeled so, `(classes,)`; infinity for a class without any."""
    classes, own = table.shape[1], table[np.arange(len(given)), given]
    support = np.bincount(given, minlength=classes)
    return np.where(support > 0, np.bincount(given, own, classes) / np.maximum(support, 1), np.inf)


def suspects(targets: ArrayLike, probabilities: ArrayLike) -> tuple[Suspect, ...]:
    """Return the suspect labels among `targets (n,)`, the most suspect first.

    `probabilities (n, classes)` must come from models that did not learn the image: by cross-validation, or on a held-out
    split. A class speaks for an image as in `confident_learning`. There are as many suspects as `confident_learning` lists. They are the images with the least likely labels, and not those very
    images: that finds more of the wrong labels (Kuan & Mueller 2022; experiments/LOG.md). A class without images is never
    suggested. For labels that are independent, call it for each, with the classes absent and present.
    """
    given, table = np.asarray(targets, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
    if not len(given):
        return ()
    rows = np.arange(len(given))
    own = table[rows, given]
    support = np.bincount(given, minlength=table.shape[1])
    speaking = np.where(table >= _thresholds(given, table) - _ROUNDING, table, -np.inf)
    is_confident = speaking.max(axis=1) > own
    likeliest = np.where(support > 0, table, -np.inf).argmax(axis=1)
    suggested = np.where(is_confident, speaking.argmax(axis=1), likeliest)
    margins = table[rows, suggested] - own
    places = np.flatnonzero(margins > 0)
    ranked = places[np.argsort(own[places], kind="stable")][: int(confident_learning(given, table).sum())]
    return tuple(
        Suspect(int(at), int(given[at]), int(suggested[at]), float(own[at]), float(margins[at])) for at in ranked
    )


def pooled(tables: Sequence[Floats]) -> Floats:
    """Return the geometric mean of the probabilities of several models, `(n, classes)`, scaled to sum 1 (Genest & Zidek 1986).

    It finds more wrong labels than their arithmetic mean (experiments/LOG.md).
    """
    return softmax(np.mean([np.log(np.maximum(table, np.finfo(np.float64).tiny)) for table in tables], axis=0))
