"""Confidence intervals of scores: 95 % percentile intervals over bootstrap resamples of the samples (Efron 1979).

All scores use the same resamples. The draws depend only on (n, seed).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.draws import Measure, joined
from raytl.metrics.scores import PER_CLASS, facts, measure

RESAMPLES = 2000
LEVEL = 0.95
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
    return Estimates(
        overall={name: intervals[0] for name, intervals in classed.items() if name not in PER_CLASS},
        precision=classed["precision"],
        recall=classed["recall"],
        f1=classed["f1"],
        support=tuple(int(interval.value) for interval in classed["support"]),
    )


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
