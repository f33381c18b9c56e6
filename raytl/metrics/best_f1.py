"""The threshold with the highest F1 of confidences that are right or wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_MIDDLE = 0.5


def best_f1_threshold(confidence: ArrayLike, correct: NDArray[np.bool_], wanted: int) -> float:
    """Return the threshold from which F1 is highest; NaN if nothing is right.

    Of the things to find, `wanted` in number, each is found by one of the `correct (m,)` at most, which have the `confidence
    (m,)` in [0, 1]. Candidates lie midway between neighboring confidences, and float32 has them: confidences that no such number
    separates are decided alike. Of equally good candidates, the one nearest to 0.5 wins.
    """
    if not correct.any():
        return np.nan
    values = np.asarray(confidence, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    lower = np.append(ordered[1:], 0.0)
    candidates = _midway(lower, ordered)
    separates = candidates > lower
    separates[-1] = True  # the last one takes all
    f1 = 2 * np.cumsum(correct[order]) / (np.arange(1, len(ordered) + 1) + wanted)
    scored = -f1[separates], np.abs(candidates - _MIDDLE)[separates], candidates[separates]
    return float(min(zip(*scored, strict=True))[2])


def _midway(lower: NDArray[np.float64], upper: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the middle as float32 has it; where that is not above `lower` and at most `upper`, its largest number up to `upper`."""
    middle, highest = ((lower + upper) / 2).astype(np.float32), upper.astype(np.float32)
    highest = np.where(highest > upper, np.nextafter(highest, np.float32(0)), highest)
    return np.where((middle > lower) & (middle <= upper), middle, highest).astype(np.float64)
