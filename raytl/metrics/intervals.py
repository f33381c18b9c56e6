"""Confidence intervals of scores: 95 % percentile intervals over bootstrap resamples of the samples (Efron 1979).

All scores use the same resamples. The draws depend only on (n, seed). Where all or none of the images are right, resamples are all
equal, and the bounds are exact ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.draws import Measure, joined
from raytl.metrics.scores import PER_CLASS, facts, measure

RESAMPLES = 2000
LEVEL = 0.95
_HALVINGS = 60
_DRAWS_AT_ONCE = 2_000_000
"""Limits the memory of a block of resamples to about 100 MB."""


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
    targets: ArrayLike, probabilities: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> Estimates:
    """Return all scores of `probabilities (n, classes)` for `targets (n,)`, with percentile intervals of `level`."""
    sample_facts = facts(targets, probabilities)
    count = len(sample_facts.targets)
    classed = estimates(partial(measure, sample_facts), count, resamples=resamples, seed=seed, level=level)
    support = tuple(int(interval.value) for interval in classed["support"])
    calls = np.bincount(sample_facts.predicted, minlength=len(support)).tolist()
    correct = sample_facts.targets[sample_facts.predicted == sample_facts.targets]
    hits = np.bincount(correct, minlength=len(support)).tolist()
    ends = {name: partial(fraction_end, images=count, level=level) for name in classed if name.endswith("accuracy")}
    ends |= {name: partial(mean_end, images=support, level=level) for name in ("balanced_accuracy", "macro_f1")}
    overall = {name: intervals[0] for name, intervals in classed.items() if name not in PER_CLASS}
    return Estimates(
        overall={name: ends[name](each) if name in ends else each for name, each in overall.items()},
        **class_ends(classed, hits, calls, support, level),
        support=support,
    )


def class_ends(
    classed: Mapping[str, Sequence[Interval]],
    hits: Sequence[int],
    calls: Sequence[int],
    support: Sequence[int],
    level: float = LEVEL,
) -> dict[str, tuple[Interval, ...]]:
    """Return the `precision`, `recall` and `f1` of each class, with exact bounds where they are 1 or 0.

    `calls` counts the images that are predicted as the class, `support` those that have it, and `hits` those of both.
    """
    either = [a + b - c for a, b, c in zip(calls, support, hits, strict=True)]
    return {
        "precision": tuple(map(partial(fraction_end, level=level), classed["precision"], calls)),
        "recall": tuple(map(partial(fraction_end, level=level), classed["recall"], support)),
        "f1": tuple(map(partial(f1_end, level=level), classed["f1"], either)),
    }


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
    measure: Measure, n: int, *, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> dict[str, tuple[Interval, ...]]:
    """Return the intervals of all scores of n samples, one for each column of the score."""
    point = measure(np.arange(n)[None])
    drawn = _resampled(measure, n, resamples, np.random.default_rng(seed))
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
