"""Correct p-values for their number."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from raytl.metrics.confusion import Floats


def holm(p_values: ArrayLike) -> Floats:
    """Return p-values corrected for their number by Holm's step-down procedure (1979), in their order."""
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    return corrected
