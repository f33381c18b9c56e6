"""Confidence intervals of scores: 95 % percentile intervals over bootstrap resamples of the samples (Efron 1979).

All scores use the same resamples. The draws depend only on (n, seed) and the groups. Images of a group (a patient, a site) are
not independent, so whole groups are drawn (the cluster bootstrap, Field & Welsh 2007). Where all or none of the images are
right, resamples are all equal, and the bounds are exact ones, of as many groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.draws import Groups, Measure, group_draws, joined
from raytl.metrics.scores import PER_CLASS, facts, measure

RESAMPLES = 2000
LEVEL = 0.95
_HALVINGS = 60
_DRAWS_AT_ONCE = 2_000_000
"""Limits the memory of a block of resamples to about 100 MB."""

Places = Sequence[NDArray[np.signedinteger[Any]]]
"""The rows of images and the classes that they have, each `(m,)`."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A score and the bounds of its interval; all NaN if the score is undefined (a class never predicted)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True, slots=True)
class Estimates:
    """Every score with its interval: `overall` by name, the others by class."""

    overall: dict[str, Interval]
    precision: tuple[Interval, ...]
    recall: tuple[Interval, ...]
    f1: tuple[Interval, ...]
    support: tuple[int, ...]


def bootstrap(
    targets: ArrayLike,
    probabilities: ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    groups: Groups | None = None,
) -> Estimates:
    """Return all scores of `probabilities (n, classes)` for `targets (n,)`, with percentile intervals of `level`; with `groups`,
    of whole groups."""
    sample_facts = facts(targets, probabilities)
    count = len(sample_facts.targets)
    classed = estimates(
        partial(measure, sample_facts), count, resamples=resamples, seed=seed, level=level, groups=groups
    )
    rows, classes = np.arange(count), len(classed["support"])
    present = units((rows, sample_facts.targets), classes, groups)
    whole = count if groups is None else len(np.unique(groups))
    ends = {name: partial(fraction_end, images=whole, level=level) for name in classed if name.endswith("accuracy")}
    ends |= {name: partial(mean_end, images=present, level=level) for name in ("balanced_accuracy", "macro_f1")}
    overall = {name: intervals[0] for name, intervals in classed.items() if name not in PER_CLASS}
    return Estimates(
        overall={name: ends[name](each) if name in ends else each for name, each in overall.items()},
        **class_ends(classed, (rows, sample_facts.predicted), (rows, sample_facts.targets), groups, level),
        support=tuple(int(interval.value) for interval in classed["support"]),
    )


def class_ends(
    classed: Mapping[str, Sequence[Interval]],
    called: Places,
    present: Places,
    groups: Groups | None = None,
    level: float = LEVEL,
) -> dict[str, tuple[Interval, ...]]:
    """Return the `precision`, `recall` and `f1` of each class, with exact bounds where they are 1 or 0.

    `called` are the images that are predicted as a class, and `present` those that have it.
    """
    either = np.concatenate([called[0], present[0]]), np.concatenate([called[1], present[1]])
    count = partial(units, classes=len(classed["precision"]), groups=groups)
    return {
        "precision": tuple(map(partial(fraction_end, level=level), classed["precision"], count(called))),
        "recall": tuple(map(partial(fraction_end, level=level), classed["recall"], count(present))),
        "f1": tuple(map(partial(f1_end, level=level), classed["f1"], count(either))),
    }


def units(places: Places, classes: int, groups: Groups | None = None) -> list[int]:
    """Return the number of images, or of groups, that have each of the `classes`."""
    rows, of_class = places
    owners = rows if groups is None else groups[rows]
    counts: list[int] = np.bincount(np.unique(owners * classes + of_class) % classes, minlength=classes).tolist()
    return counts


def fraction_end(each: Interval, images: int, level: float = LEVEL) -> Interval:
    """Return the interval of a fraction of `images` images; if it is 1 or 0, with the exact bound (Clopper and Pearson 1934).

    All resamples of images that all count are equal: a bootstrap would give an interval without width.
    """
    return mean_end(each, (images,), level)


def mean_end(each: Interval, images: Sequence[int], level: float = LEVEL) -> Interval:
    """Return the interval of a mean over classes of fractions of their `images`; if it is 1 or 0, with an exact bound.

    It is the lowest mean of fractions r with which all images would count with a probability of (1 - `level`) / 2: the
    product of r ** n. There r is proportional to n, and at most 1.
    """
    if each.value not in (0.0, 1.0):
        return each
    counts = np.array([n for n in images if n > 0], dtype=np.float64)
    low, high = np.log(1 / counts.max()) + np.log((1 - level) / 2), np.log(1 / counts.min())
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_likely = counts @ np.minimum(0.0, middle + np.log(counts)) >= np.log((1 - level) / 2)
        low, high = (low, middle) if is_likely else (middle, high)
    far = float(np.minimum(1.0, np.exp(high) * counts).mean())
    return Interval(1.0, far, 1.0) if each.value else Interval(0.0, 0.0, 1 - far)


def f1_end(each: Interval, images: int, level: float = LEVEL) -> Interval:
    """Return the interval of the F1 of a class that `images` images have or are predicted as; as `fraction_end`.

    F1 is 2 j / (1 + j) for the fraction j of them that have it and are predicted as it.
    """
    exact = fraction_end(each, images, level)
    if exact is each:
        return each
    return Interval(each.value, *(2 * bound / (1 + bound) for bound in (exact.low, exact.high)))


def estimates(
    measure: Measure,
    n: int,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    groups: Groups | None = None,
) -> dict[str, tuple[Interval, ...]]:
    """Return the intervals of all scores of n samples, one for each column of the score; with `groups`, of whole groups."""
    point, rng = measure(np.arange(n)[None]), np.random.default_rng(seed)
    if groups is None:
        drawn = _resampled(measure, n, resamples, rng)
    else:
        drawn = joined([measure(draws) for draws in group_draws(groups, resamples, rng)])
    low, high = (_bound(drawn, fraction) for fraction in ((1 - level) / 2, (1 + level) / 2))
    return {
        name: tuple(map(Interval, *(table[name].ravel().tolist() for table in (point, low, high)))) for name in point
    }


def _resampled(measure: Measure, n: int, resamples: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Return the scores of each resample, computed in blocks that fit in memory."""
    block = max(1, _DRAWS_AT_ONCE // n)
    parts = []
    for start in range(0, resamples, block):
        draws: Ints = rng.integers(0, n, size=(min(block, resamples - start), n))
        parts.append(measure(draws))
    return joined(parts)


def _bound(drawn: dict[str, Floats], fraction: float) -> dict[str, Floats]:
    return {name: _quantile(values.reshape(len(values), -1), fraction) for name, values in drawn.items()}


def _quantile(values: Floats, fraction: float) -> Floats:
    """Return the quantile of each column over the resamples in which it is defined, `(columns,)`."""
    quantiles = np.full(values.shape[1], np.nan)
    for column, defined in enumerate(~np.isnan(values).T):
        if defined.any():
            quantiles[column] = np.quantile(values[defined, column], fraction)
    return quantiles
