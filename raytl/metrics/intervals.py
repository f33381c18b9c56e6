"""How sure a score is: 95 % percentile intervals over bootstrap resamples of the samples (Efron 1979).

All scores are read from the same resamples. The draws depend on (n, seed) alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.scores import PER_CLASS, Facts, facts, measure

RESAMPLES = 2000
LEVEL = 0.95
_DRAWS_AT_ONCE = 2_000_000
"""Bounds the memory of a block of resamples to some 100 MB."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A score and the bounds of its interval; all NaN where the score is undefined (a class never predicted)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True, slots=True)
class Estimates:
    """Every score with its interval: `overall` by name, the rest one for each class."""

    overall: dict[str, Interval]
    precision: tuple[Interval, ...]
    recall: tuple[Interval, ...]
    f1: tuple[Interval, ...]
    support: tuple[int, ...]


def bootstrap(
    targets: ArrayLike, probabilities: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> Estimates:
    """All scores of `probabilities (n, classes)` for `targets (n,)`, with percentile intervals of `level`."""
    known = facts(targets, probabilities)
    point = measure(known, np.arange(len(known.targets))[None])
    drawn = _resampled(known, resamples, np.random.default_rng(seed))
    low, high = (_bound(drawn, share) for share in ((1 - level) / 2, (1 + level) / 2))
    classed = {
        name: tuple(map(Interval, *(table[name].ravel().tolist() for table in (point, low, high))))
        for name in point
        if name != "support"
    }
    return Estimates(
        overall={name: found[0] for name, found in classed.items() if name not in PER_CLASS},
        precision=classed["precision"],
        recall=classed["recall"],
        f1=classed["f1"],
        support=tuple(int(count) for count in point["support"][0]),
    )


def _resampled(known: Facts, resamples: int, rng: np.random.Generator) -> dict[str, Floats]:
    """The scores of each resample, in blocks that fit in memory."""
    n = len(known.targets)
    block = max(1, _DRAWS_AT_ONCE // n)
    parts = []
    for start in range(0, resamples, block):
        draws: Ints = rng.integers(0, n, size=(min(block, resamples - start), n))
        parts.append(measure(known, draws))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _bound(drawn: dict[str, Floats], share: float) -> dict[str, Floats]:
    return {name: _quantile(values.reshape(len(values), -1), share) for name, values in drawn.items()}


def _quantile(values: Floats, share: float) -> Floats:
    """Quantile of each column over the resamples in which it is defined, `(columns,)`."""
    found = np.full(values.shape[1], np.nan)
    for column, kept in enumerate(~np.isnan(values).T):
        if kept.any():
            found[column] = np.quantile(values[kept, column], share)
    return found
