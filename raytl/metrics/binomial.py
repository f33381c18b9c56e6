"""Exact intervals and tests of a fraction from counts (Clopper and Pearson 1934)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from raytl.metrics.confusion import Floats
from raytl.metrics.intervals import LEVEL, Interval


def clopper_pearson(hits: ArrayLike, trials: ArrayLike, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Return the bounds of the exact central interval of each fraction `hits / trials`; 0 and 1 without a trial."""
    from scipy.special import betaincinv

    won, total = np.broadcast_arrays(np.asarray(hits, np.float64), np.asarray(trials, np.float64))
    tail = (1 - level) / 2
    low, high = np.zeros(won.shape), np.ones(won.shape)
    some, rest = won > 0, won < total
    low[some] = betaincinv(won[some], (total - won + 1)[some], tail)
    high[rest] = betaincinv((won + 1)[rest], (total - won)[rest], 1 - tail)
    return low, high


def fraction(hits: int, trials: int, level: float = LEVEL) -> Interval:
    """Return the fraction with its exact interval; the value is NaN without a trial."""
    low, high = clopper_pearson(hits, trials, level)
    return Interval(hits / trials if trials else math.nan, float(low), float(high))


def p_below(hits: ArrayLike, trials: ArrayLike, aim: float) -> Floats:
    """Return the probability of at least so many hits if the true fraction is `aim`: a p-value of "the fraction is below
    `aim`", 1 without a trial."""
    from scipy.special import betainc

    won, total = np.broadcast_arrays(np.asarray(hits, np.float64), np.asarray(trials, np.float64))
    some = won > 0
    values = np.ones(won.shape)
    values[some] = betainc(won[some], (total - won + 1)[some], aim)
    return values


def error_free_trials(aim: float, level: float) -> int:
    """Return the smallest number of trials that, all hits, reject "the fraction is below `aim`" at the level `level`."""
    return math.ceil(math.log(level) / math.log(aim))
