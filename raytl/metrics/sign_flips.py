"""Exact test of paired differences of groups of images, each a number of images.

If two models do not differ, their answers to a group can be swapped, which flips the sign of its difference. The p-value is the
fraction of all flips with a sum as large (Fisher 1935). Groups of one image make it McNemar's exact test.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.draws import Groups


def flipped(differences: Ints) -> tuple[float, float]:
    """Return the exact one-tailed p-values that `differences`, one of each group, are more than chance, and less."""
    chances, total = _chances(differences), int(np.abs(differences).sum())
    place = total + int(differences.sum())
    return min(1.0, float(chances[place:].sum())), min(1.0, float(chances[: place + 1].sum()))


def net_changes(gained: NDArray[np.bool_], lost: NDArray[np.bool_], groups: Groups) -> Ints:
    """Return the images that each group gained, less those that it lost; `gained (n,)` and `lost (n,)` mark them."""
    return np.rint(np.bincount(groups, weights=gained.astype(np.int64) - lost.astype(np.int64))).astype(np.int64)


def _chances(differences: Ints) -> Floats:
    """Return the chance of each sum of flipped differences, from the lowest to the highest."""
    from scipy.signal import fftconvolve  # takes most of a second, and training compares nothing
    from scipy.stats import binom

    chances = np.ones(1)
    for size, count in zip(*np.unique(np.abs(differences[differences != 0]), return_counts=True), strict=True):
        own = np.zeros(2 * size * count + 1)
        own[:: 2 * size] = binom.pmf(np.arange(count + 1), count, 0.5)
        chances = np.convolve(chances, own) if size * count < 2000 else np.maximum(0.0, fftconvolve(chances, own))
    return np.asarray(chances)
