"""Correct p-values for their number."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from raytl.metrics.confusion import Floats


def holm(p_values: ArrayLike) -> Floats:
    """Return p-values corrected for their number by Holm's step-down procedure (1979), in their order.

    NaN are not counted and stay NaN.
    """
    values = np.asarray(p_values, dtype=np.float64)
    corrected = np.full(len(values), np.nan)
    tested = np.flatnonzero(~np.isnan(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(len(order), 0, -1)))
    return corrected
