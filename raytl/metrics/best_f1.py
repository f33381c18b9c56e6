"""The threshold with the highest F1 of confidences that are right or wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_MIDDLE = 0.5


def best_f1_threshold(confidence: ArrayLike, correct: NDArray[np.bool_], wanted: int) -> float:
    """Return the threshold from which F1 is highest; NaN if nothing is right.

    Of the things to find, `wanted` in number, each is found by one of the `correct (m,)` at most, which have the `confidence
    (m,)` in [0, 1]. Candidates lie midway between neighboring confidences, and float32 has them; of equally good ones, the one
    nearest to 0.5 wins.
    """
    if not correct.any():
        return np.nan
    values = np.asarray(confidence, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    lower = np.append(ordered[1:], 0.0)
    separates = ordered > lower  # equal confidences are decided alike
    separates[-1] = True
    f1 = 2 * np.cumsum(correct[order]) / (np.arange(1, len(ordered) + 1) + wanted)
    candidates = _midway(lower, ordered)[separates]
    return float(min(zip(-f1[separates], np.abs(candidates - _MIDDLE), candidates, strict=True))[2])


def _midway(lower: NDArray[np.float64], upper: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the middle as float32 has it, or `upper` where it is rounded down to `lower`."""
    middle = ((lower + upper) / 2).astype(np.float32).astype(np.float64)
    return np.where((middle > lower) | (upper <= lower), middle, upper)
