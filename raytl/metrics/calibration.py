"""One temperature for the logits of a classifier, fitted on held-out answers (Guo et al. 2017), and the calibration error.

A decision is one of k classes with logits `(k,)`; a label that is present or absent is a decision with logits 0 and z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raytl.metrics.confusion import Floats
from raytl.metrics.scores import ECE_BINS, confidence_bin, facts, measure, softmax

TEMPERATURES = (0.05, 20.0)
"""The lowest and the highest temperature."""
SMOOTHED = 0.1, 0.5
"""A label smoothing, and the temperature to expect after it: trained with 0.1, answers on new images are too unsure, and the
best temperature was 0.33 to 0.7 on the small sets of `experiments.defaults.sets` (Mueller et al. 2019 name the cause)."""
_SPREAD = 0.5
"""The standard deviation of the logarithm of a temperature about the expected one, before any answer is seen."""
_UNSURE = 0.25
"""The weight of an image whose class is equally likely to be any."""
_STEPS = 60
_TOLERANCE = 1e-9


def expected_temperature(label_smoothing: float) -> float:
    """Return the temperature to expect of a network that was trained with this label smoothing: 1 without."""
    smoothing, temperature = SMOOTHED
    return float(1 - (1 - temperature) * min(1.0, label_smoothing / smoothing))


def fit_temperature(targets: ArrayLike, logits: ArrayLike, expected: float = 1.0) -> float:
    """Return the temperature by which `logits (m, k)` are divided; 1 without a decision, or with a logit that is no number.

    It minimizes the log loss of the m decisions, of a quarter of one more, whose true class is equally likely to be any
    (after Platt 1999), and of the temperature itself, whose logarithm is normal about that of `expected`. Few decisions
    without a mistake alone would make every answer certain. Newton's method within bounds finds the minimum.
    """
    truth, table = np.asarray(targets, dtype=np.int64), np.asarray(logits, dtype=np.float64)
    if not len(truth) or not np.isfinite(table).all():
        return 1.0
    return float(1 / _minimum(truth, table, expected))


def decision_losses(targets: ArrayLike, logits: ArrayLike) -> Floats:
    """Return the log loss of each decision, `(m,)`, clipped as in `raytl.metrics.scores`."""
    truth, table = np.asarray(targets, dtype=np.int64), np.asarray(logits, dtype=np.float64)
    own = _log_probabilities(table)[np.arange(len(truth)), truth]
    return np.asarray(-np.maximum(own, math.log(np.finfo(np.float64).eps)))


def calibration_error(targets: ArrayLike, logits: ArrayLike) -> float:
    """Return the expected calibration error of `logits (m, k)`: 15 bins of equal width of the highest probability."""
    decisions = facts(targets, softmax(logits))
    return float(measure(decisions, np.arange(len(decisions.targets))[None])["ece"][0])


@dataclass(frozen=True, eq=False)
class Reliability:
    """The decisions by bin of confidence (the probability of the class that was chosen), for the bins that have any: their
    mean `confidence (k,)`, the fraction that is right, `accuracy (k,)`, and their number, `count (k,)`."""

    confidence: Floats
    accuracy: Floats
    count: NDArray[np.int64]


def reliability(targets: ArrayLike, logits: ArrayLike) -> Reliability:
    """Return how often decisions with `logits (m, k)` are right, in the bins of `calibration_error`."""
    decisions = facts(targets, softmax(logits))
    bins, hits = confidence_bin(decisions.confidence), decisions.targets == decisions.predicted
    sums = [np.bincount(bins, weights, ECE_BINS) for weights in (None, decisions.confidence, hits)]
    count, confidence, correct = (each[sums[0] > 0] for each in sums)
    return Reliability(confidence / count, correct / count, count.astype(np.int64))


def _log_probabilities(table: Floats) -> Floats:
    shifted = table - table.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _minimum(truth: NDArray[np.int64], table: Floats, expected: float) -> float:
    """Return the inverse temperature with the lowest loss, within the bounds; the steps are those of its logarithm."""
    unsure = _UNSURE / (len(truth) + _UNSURE)
    wanted = (1 - unsure) * table[np.arange(len(truth)), truth] + unsure * table.mean(axis=1)
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    inverse = 1 / expected
    for _ in range(_STEPS):
        slope, curvature = _derivatives(table, wanted, inverse)
        pull = inverse * slope + math.log(inverse * expected) / _SPREAD**2
        bend = inverse * slope + inverse**2 * curvature + 1 / _SPREAD**2
        low, high = (low, inverse) if pull > 0 else (inverse, high)
        step = inverse * math.exp(-pull / bend) if bend > abs(pull) / 700 else math.inf
        following = step if low < step < high else math.sqrt(low * high)
        done = abs(math.log(following / inverse)) < _TOLERANCE
        inverse = following
        if done:
            break
    return inverse


def _derivatives(table: Floats, wanted: Floats, inverse: float) -> tuple[float, float]:
    """Return the first and the second derivative of the summed loss: mean logit minus the wanted one, and variance."""
    probabilities = softmax(table * inverse)
    mean = (probabilities * table).sum(axis=1)
    variance = (probabilities * np.square(table - mean[:, None])).sum(axis=1)
    return float((mean - wanted).sum()), float(variance.sum())
