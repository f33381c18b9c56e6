"""Test a stream of images for a change, with an error that holds at every look: a conformal test martingale (Vovk et al. 2005).

Each image gets one conformal p-value for each statistic: its random rank among the images retained so far, which start with the
reference. While reference and stream are exchangeable, these p-values are independent and uniform, for a reference of any
size. Bets against that have an expected gain of zero, so the chance that their wealth ever reaches 1 / alpha is at most alpha
(Ville 1939): looking every week, or at every image, raises no more false alarms.

At most a fixed number of images is retained. The one to forget is drawn from the retained ones and the new one alike, so what remains
says nothing about which of them was new, and the p-values stay exactly uniform.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from raytl.metrics.confusion import Floats

BETS = 6
"""The bets on a p-value: low, high, very low, very high, at both ends, in the middle."""
_POWER = 0.4
_JUMP_RATE = 0.01
"""The part of the wealth that is divided anew among the bets after each image (the jump rate of Vovk et al. 2021)."""
_RESERVE, _DELAY = 0.5, 100.0
_LEAST_P = 1e-6


@dataclass(frozen=True, eq=False)
class Wealth:
    """The wealth of each of k statistics after `images`: `bets (k, BETS)`, without the reserve that is not invested yet."""

    images: int
    bets: Floats

    @classmethod
    def start(cls, statistics: int) -> Wealth:
        """Return the wealth before the first image: 1 for each statistic, of which half is invested."""
        return cls(0, np.full((statistics, BETS), (1 - _RESERVE) / BETS))

    def after(self, p: Floats) -> Wealth:
        """Return the wealth after the p-values `(k,)` of an image.

        The reserve is invested slowly over the whole stream, so that a late change is found about as fast as an early one.
        """
        won = self.bets * bet_returns(p)
        shared = (1 - _JUMP_RATE) * won + _JUMP_RATE * won.mean(axis=1, keepdims=True)
        invested = (reserve(self.images) - reserve(self.images + 1)) / BETS
        return Wealth(self.images + 1, np.minimum(shared + invested, 1e100))

    @property
    def by_statistic(self) -> Floats:
        """The wealth of each statistic, `(k,)`: large where the stream contradicts the reference."""
        return np.asarray(self.bets.sum(axis=1) + reserve(self.images))

    @property
    def value(self) -> float:
        """The mean over the statistics, which is a martingale too: evidence of any change."""
        return float(self.by_statistic.mean())


@dataclass(frozen=True, eq=False)
class Stream:
    """A test of k statistics: the `retained (m, k)` images, the wealth, and its `peak` at image number `peak_at`."""

    retained: Floats
    wealth: Wealth
    peak: float = 1.0
    peak_at: int = 0

    @classmethod
    def start(cls, reference: ArrayLike) -> Stream:
        """Return the test before the first image; `reference (m, k)` has one row for each image."""
        rows = np.array(reference, np.float64)
        assert rows.ndim == 2 and len(rows) > 0 and np.isfinite(rows).all(), "rows of finite statistics"
        return cls(rows, Wealth.start(rows.shape[1]))

    def after(self, row: ArrayLike, rng: np.random.Generator, limit: int) -> Stream:
        """Return the test after one more image with the statistics `row (k,)`, with at most `limit` images retained."""
        values = np.asarray(row, np.float64)
        wealth = self.wealth.after(conformal_p(values, self.retained, rng))
        retained = np.concatenate([self.retained, values[None]])
        if len(retained) > limit:
            retained = np.delete(retained, rng.integers(len(retained)), axis=0)
        if wealth.value > self.peak:
            return Stream(retained, wealth, wealth.value, wealth.images)
        return replace(self, retained=retained, wealth=wealth)

    def is_alarm(self, alpha: float) -> bool:
        """Return True if the wealth has ever reached 1 / `alpha`; the chance of that without a change is at most `alpha`."""
        return self.peak >= 1 / alpha


def conformal_p(row: Floats, retained: Floats, rng: np.random.Generator) -> Floats:
    """Return the p-value of each statistic of `row (k,)` among itself and the `retained (m, k)`, with ties broken at random.

    Uniform on (0, 1) if the row is exchangeable with the others.
    """
    below = (retained < row).sum(axis=0)
    equal = (retained == row).sum(axis=0) + 1
    return np.asarray((below + rng.random(len(row)) * equal) / (len(retained) + 1))


def bet_returns(p: Floats) -> Floats:
    """Return what one unit on each bet becomes at the p-values `(k,)`, `(k, BETS)`: densities on (0, 1), of mean 1."""
    low = np.clip(p, _LEAST_P, 1 - _LEAST_P)
    high = 1 - low
    ends = 3 * (2 * low - 1) ** 2
    powers = (_POWER * low ** (_POWER - 1), _POWER * high ** (_POWER - 1))
    return np.stack([2 * high, 2 * low, *powers, ends, 1.5 - ends / 2], axis=1)


def reserve(images: int) -> float:
    """Return the part of the wealth that is not invested after so many images; it never reaches 0."""
    return float(_RESERVE / (1 + np.log1p(images / _DELAY)))
