"""Add a sensor's noise in linear light: a table has the new level for each level and each quantile of the noise.

A lookup takes a tenth of the time of drawing normal or Poisson numbers for each pixel, and is exact for dark pixels, where
the normal approximation of photon counts fails.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from raytl.data.corruptions.transfer import LEVELS, encoded
from raytl.data.images import Pixels

_BITS = 12
_QUANTILES = (np.arange(1 << _BITS) + 0.5) / (1 << _BITS)


def read_noise(pixels: Pixels, deviation: float, rng: np.random.Generator) -> Pixels:
    """Add normal noise of this standard deviation, a fraction of full scale, to each channel: a sensor at high gain."""
    return _drawn(pixels, _read_table(deviation), rng)


def shot_noise(pixels: Pixels, photons: float, rng: np.random.Generator) -> Pixels:
    """Count photons, of which white has `photons` in the mean (Poisson): too little light, or too short an exposure."""
    return _drawn(pixels, _shot_table(photons), rng)


def impulse_noise(pixels: Pixels, fraction: float, rng: np.random.Generator) -> Pixels:
    """Set this fraction of the values to black or white, each half of them: dead and hot pixels (salt and pepper)."""
    draws = rng.random(pixels.shape, dtype=np.float32)
    out = pixels.copy()
    out[draws < fraction / 2] = 0
    out[draws > 1 - fraction / 2] = 255
    return out


def _drawn(pixels: Pixels, table: Pixels, rng: np.random.Generator) -> Pixels:
    """Return a level of `table (256, quantiles)` for each value, at a quantile of its own."""
    places = rng.integers(0, 1 << _BITS, pixels.shape, dtype=np.uint16).astype(np.int32)
    places += pixels.astype(np.int32) << _BITS
    return np.take(table, places)


@lru_cache(16)
def _read_table(deviation: float) -> Pixels:
    from scipy.special import ndtri

    noise = (deviation * ndtri(_QUANTILES)).astype(np.float32)
    return encoded(LEVELS[:, None] + noise)


@lru_cache(16)
def _shot_table(photons: float) -> Pixels:
    from scipy.special import pdtr

    mean = photons * LEVELS.astype(np.float64)
    counts = np.arange(int(photons + 8 * photons**0.5) + 8)
    below = pdtr(counts[None], mean[:, None])  # (256, counts)
    drawn = np.stack([np.searchsorted(row, _QUANTILES) for row in below])
    return encoded((drawn / photons).astype(np.float32))
