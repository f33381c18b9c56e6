"""Signs of groups of images: the exact test of paired differences, and sums with random signs.

If two models do not differ, their answers to a group can be swapped, which flips the sign of its difference. The p-value is the
fraction of all flips with a sum as large (Fisher 1935). Groups of one image make it McNemar's exact test.

Differences between what is there and what is expected change their sign in a random half of the groups where exact chances are not
known (the wild cluster bootstrap; Cameron, Gelbach and Miller 2008).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.draws import Groups

_SIGNS_AT_ONCE = 4_000_000


def flipped(differences: Ints) -> tuple[float, float]:
    """Return the exact one-tailed p-values that `differences`, one of each group, are more than chance, and less."""
    chances, total = _chances(differences), int(np.abs(differences).sum())
    place = total + int(differences.sum())
    return min(1.0, float(chances[place:].sum())), min(1.0, float(chances[: place + 1].sum()))


def net_changes(gained: NDArray[np.bool_], lost: NDArray[np.bool_], groups: Groups) -> Ints:
    """Return the images that each group gained, less those that it lost; `gained (n,)` and `lost (n,)` mark them."""
    return np.rint(np.bincount(groups, weights=gained.astype(np.int64) - lost.astype(np.int64))).astype(np.int64)


def random_sums(differences: Floats, draws: int, seed: int) -> Floats:
    """Return the sums of `differences (groups, k)` over the groups with random signs of the groups, `(draws, k)`."""
    rng = np.random.default_rng(seed)
    step = max(1, _SIGNS_AT_ONCE // len(differences))
    parts = [
        rng.choice([-1.0, 1.0], (min(step, draws - start), len(differences))) @ differences
        for start in range(0, draws, step)
    ]
    return np.concatenate(parts)


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
