"""The calibration error of the table of defaults."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def ece(probabilities: NDArray[np.float64], truth: NDArray[np.int64], bins: int = 15) -> float:
    """Return the expected calibration error over equally wide bins of confidence (Guo et al. 2017)."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == truth
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    return float(
        sum(
            abs(right[places == b].mean() - confidence[places == b].mean()) * (places == b).mean()
            for b in range(bins)
            if (places == b).any()
        )
    )
