"""The calibration of findings: is what is reported with a confidence of 80 % there in 80 % of the cases?

Findings of one image err together, so chance is simulated by images: the differences between what is there and the confidence
change their sign in a random half of the images (the wild cluster bootstrap; Cameron, Gelbach and Miller 2008). A model whose
confidence is right on average shows such calibration errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.miscalibration import SIMULATIONS, CalibrationError, compared
from raytl.metrics.scores import ECE_BINS, confidence_bin
from raytl.metrics.sign_flips import random_sums

Bools = NDArray[np.bool_]
LEAST_IMAGES = 8
"""Images below which no pattern of signs is rare enough to be evidence of miscalibration."""


@dataclass(frozen=True, eq=False)
class BandedReliability:
    """Decisions or findings by bin of confidence, for the bins that have any: `confidence`, `correct` (mean and fraction), their number
    `count`, and the range `low` to `high` in which 95 % of calibrated models lie, all `(k,)`."""

    confidence: Floats
    correct: Floats
    count: Ints
    low: Floats
    high: Floats


def finding_error(image: Ints, confidence: Floats, correct: Bools, seed: int = 0) -> CalibrationError:
    """Return the expected calibration error of m findings with 15 bins of equal width, beside that of calibrated models.

    `image (m,)`, `confidence (m,)` and `correct (m,)` are as in `Findings`. NaN without a finding.
    """
    return binned_error(_binned(image, confidence, correct), seed)


def binned_error(bins: Floats, seed: int = 0) -> CalibrationError:
    """Return the same of decisions that are counted: `bins (images, 15, 3)` are their number, the correct ones and the summed
    confidence, by bin of confidence. NaN without a decision."""
    gaps, total = bins[..., 1] - bins[..., 2], bins[..., 0].sum()
    if not total:
        return CalibrationError(np.nan, np.nan, np.nan, 1.0)
    value = float(np.abs(gaps.sum(axis=0)).sum() / total)
    return compared(value, np.abs(random_sums(gaps, SIMULATIONS, seed)).sum(axis=1) / total)


def finding_reliability(image: Ints, confidence: Floats, correct: Bools, seed: int = 0) -> BandedReliability:
    """Return how often findings are correct, in the bins of `finding_error`."""
    return binned_reliability(_binned(image, confidence, correct), seed)


def binned_reliability(bins: Floats, seed: int = 0) -> BandedReliability:
    """Return the same of decisions that are counted in `bins`, as for `binned_error`."""
    count, correct, confidence = bins.sum(axis=0).T
    some = count > 0
    middle = confidence[some] / count[some]
    simulated = random_sums(bins[:, some, 1] - bins[:, some, 2], SIMULATIONS, seed) / count[some]
    low, high = np.clip(middle + np.quantile(simulated, (0.025, 0.975), axis=0), 0, 1)
    return BandedReliability(middle, correct[some] / count[some], count[some].astype(np.int64), low, high)


def _binned(image: Ints, confidence: Floats, correct: Bools) -> Floats:
    """Return the number of findings, the correct ones and the summed confidence, by image that has findings and by bin: `(images,
    15, 3)`."""
    places = np.unique(image, return_inverse=True)[1]
    cells, count = places * ECE_BINS + confidence_bin(confidence), int(places.max(initial=-1)) + 1
    sums = [np.bincount(cells, weights, count * ECE_BINS) for weights in (None, correct, confidence)]
    return np.stack(sums, axis=-1).reshape(count, ECE_BINS, 3).astype(np.float64)
