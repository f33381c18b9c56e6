"""The fraction of images that are good: with the exact interval of independent images, or that of whole groups."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.binomial import fraction
from raytl.metrics.draws import Groups
from raytl.metrics.findings import mean_by_images
from raytl.metrics.intervals import Interval


def fraction_of(good: NDArray[np.bool_], groups: Groups | None) -> Interval:
    """Return the fraction of images that are `good (n,)`, with its 95 % interval; NaN without an image.

    It is exact (Clopper and Pearson 1934); with `groups (n,)`, it is that of draws of whole groups.
    """
    if groups is None:
        return fraction(int(good.sum()), len(good))
    return mean_by_images(groups, good.astype(np.float64))
