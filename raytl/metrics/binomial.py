"""Exact intervals and tests of a fraction from counts (Clopper and Pearson 1934), and a test of a mean of fractions."""

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


def p_mean_below(total: float, count: int, aim: float) -> float:
    """Return the p-value of "the mean of fractions in [0, 1] is below `aim`", from the sum of `count` of them, 1 without any.

    It is that of Hoeffding and Bentkus (Bates et al. 2021), exact for any fractions, if each is independent of the others.
    """
    if not count:
        return 1.0
    level = 1 - aim
    loss = min(1 - total / count, level)
    hoeffding = math.exp(-count * _divergence(loss, level))
    hits = count - math.ceil(count - total - 1e-9)
    return min(1.0, hoeffding, math.e * float(p_below(hits, count, aim)))


def _divergence(a: float, b: float) -> float:
    """Return the Kullback-Leibler divergence of coins with the chances `a` and `b`."""
    first = a * math.log(a / b) if a > 0 else 0.0
    return first + ((1 - a) * math.log((1 - a) / (1 - b)) if a < 1 else 0.0)


def error_free_trials(aim: float, level: float) -> int:
    """Return the smallest number of trials that, all hits, reject "the fraction is below `aim`" at the level `level`."""
    return math.ceil(math.log(level) / math.log(aim))
