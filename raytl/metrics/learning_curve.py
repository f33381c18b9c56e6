"""Extrapolate a learning curve: a power law of the error over training images, with its band (Hestness et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raytl.metrics.confusion import Floats
from raytl.metrics.intervals import LEVEL, Interval

RESAMPLES = 1000
FEWEST_MISTAKES = 5
"""Mistakes with all images below which the curve says nothing."""
WIDEST_BAND = 30.0
"""Largest ratio of the bounds of `halving`."""
MANY_LABELS = 1000.0
"""Factor from which more labels count as no way to halve the error."""


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """The `errors` of a classifier that learned from `images`, with the power law `error ~ images ** -exponent`.

    `halving` is the factor of training images that halves the error, None if the curve cannot tell; `why` is the reason.
    """

    images: tuple[int, ...]
    errors: tuple[float, ...]
    exponent: Interval | None
    halving: Interval | None
    why: str = ""


def learning_curve(images: ArrayLike, wrong: ArrayLike, weights: ArrayLike, *, seed: int = 0) -> LearningCurve:
    """Fit a power law to `wrong (sizes, repeats, n)`: which of n held-out images were wrong after learning from `images (sizes,)`.

    `weights (n,)` sum to 1. The band is a percentile bootstrap over images and repeats. The curve cannot tell if there are
    fewer than three sizes or `FEWEST_MISTAKES` mistakes, or if the band is wider than `WIDEST_BAND` or has no end.
    """
    sizes, table, shares = (
        np.asarray(images, dtype=np.float64),
        np.asarray(wrong),
        np.asarray(weights, dtype=np.float64),
    )
    errors = table.mean(axis=1) @ shares
    counted = (tuple(int(each) for each in np.round(sizes)), tuple(errors.tolist()))
    if len(sizes) < 3:
        return LearningCurve(*counted, None, None, "a class has too few images for three sizes of the training split")
    mistakes = float(table[-1].mean(axis=0).sum())
    if mistakes < FEWEST_MISTAKES:
        return LearningCurve(*counted, None, None, f"only {mistakes:.2g} of {len(shares)} images are wrong")
    drawn = _exponents(sizes, _resampled(table, shares, np.random.default_rng(seed)), len(shares))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    exponent = Interval(float(_exponents(sizes, errors[None], len(shares))[0]), float(low), float(high))
    if exponent.low <= np.log(2) / np.log(MANY_LABELS):
        return LearningCurve(*counted, exponent, None, "the curve is flat, or may be")
    halving = Interval(*(float(2 ** (1 / each)) for each in (exponent.value, exponent.high, exponent.low)))
    if halving.high > WIDEST_BAND * halving.low:
        return LearningCurve(*counted, exponent, None, "the band of the curve is too wide")
    return LearningCurve(*counted, exponent, halving)


def _resampled(wrong: NDArray[np.bool_], weights: Floats, rng: np.random.Generator) -> Floats:
    """Return the error at each size of each resample of images and repeats, `(resamples, sizes)`."""
    _, repeats, count = wrong.shape
    images = weights * rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    images /= images.sum(axis=1, keepdims=True)
    runs = rng.multinomial(repeats, np.full(repeats, 1 / repeats), size=RESAMPLES) / repeats
    each = np.stack([images @ size.T.astype(np.float64) for size in wrong], axis=1)  # resamples, sizes, repeats
    return np.asarray(np.einsum("bsr,br->bs", each, runs))


def _exponents(sizes: Floats, errors: Floats, count: int) -> Floats:
    """Return the exponents by least squares between the logarithms, `(resamples,)`; no error is below half a mistake."""
    x = np.log(sizes) - np.log(sizes).mean()
    y = np.log(np.maximum(errors, 0.5 / count))
    return np.asarray(-(y @ x) / (x @ x))
