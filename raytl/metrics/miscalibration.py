"""Evidence of miscalibration: the calibration error beside what a perfectly calibrated model would show, the interval of a
temperature, and its gain on answers that did not choose it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raytl.metrics.calibration import TEMPERATURES, decision_losses, fit_temperature
from raytl.metrics.confusion import Floats
from raytl.metrics.intervals import Interval
from raytl.metrics.scores import ECE_BINS, confidence_bin, facts, softmax

Loss = Callable[[float], float]
"""The summed log loss at an inverse temperature."""
SIMULATIONS = 1000
FOLDS = 10
_DRAWS_AT_ONCE = 4_000_000
_CHI_SQUARED = 3.8414588
"""The 95 % quantile of a chi-squared variable with one degree of freedom."""


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """A calibration error, and the `mean` and 95 % quantile (`high`) of what a perfectly calibrated model with the same
    confidences shows on as many images. `p` is the fraction of such models with an error at least as large."""

    value: float
    mean: float
    high: float
    p: float

    @property
    def is_evidence(self) -> bool:
        """True if fewer than 5 % of perfectly calibrated models show such an error."""
        return self.p < 0.05


def calibration_errors(targets: ArrayLike, logits: ArrayLike, seed: int = 0) -> dict[str, CalibrationError]:
    """Return the expected calibration error of `logits (n, k)` with bins of equal width (`ece`) and of equal counts
    (`adaptive_ece`; Nguyen and O'Connor 2015), each beside simulated models that are right as often as they are confident.

    The simulation draws each answer as right with its own confidence, so it follows the size and confidences of the split.
    """
    decisions = facts(targets, softmax(logits))
    return hit_errors(decisions.targets == decisions.predicted, decisions.confidence, seed)


def hit_errors(
    hits: NDArray[np.bool_], sure: Floats, seed: int = 0, simulations: int = SIMULATIONS
) -> dict[str, CalibrationError]:
    """Return both errors of `calibration_errors` for independent events, each a hit or not, `(n,)`, that were predicted with the
    probabilities `sure (n,)`: answers that are right, or a label that is present."""
    rank = np.argsort(np.argsort(sure, kind="stable"), kind="stable")
    bins = {"ece": confidence_bin(sure), "adaptive_ece": rank * ECE_BINS // len(sure)}
    members = {name: np.eye(ECE_BINS)[places] for name, places in bins.items()}
    draw = np.random.default_rng(seed)
    step = max(1, _DRAWS_AT_ONCE // len(sure))
    simulated: dict[str, list[Floats]] = {name: [] for name in bins}
    for start in range(0, simulations, step):
        drawn = draw.random((min(step, simulations - start), len(sure))) < sure
        for name, table in members.items():
            simulated[name].append(_gap(drawn, sure, table))
    return {
        name: compared(float(_gap(hits[None], sure, table)[0]), np.concatenate(simulated[name]))
        for name, table in members.items()
    }


def _gap(hits: NDArray[np.bool_], sure: Floats, members: Floats) -> Floats:
    """Return the sum over bins of |hits - confidence| / n for each row of `hits (r, n)`; `members (n, bins)` are 0 or 1."""
    gaps = (hits.astype(np.float64) - sure) @ members
    return np.asarray(np.abs(gaps).sum(axis=1) / len(sure))


def compared(value: float, simulated: Floats) -> CalibrationError:
    """Return a calibration `value` beside those of simulated calibrated models, `(r,)`."""
    p = (1 + int((simulated >= value - 1e-12).sum())) / (1 + len(simulated))
    return CalibrationError(value, float(simulated.mean()), float(np.quantile(simulated, 0.95)), p)


def brier_score(targets: ArrayLike, logits: ArrayLike) -> float:
    """Return the mean squared distance of the probabilities from the true class, from 0 to 2 (Brier 1950)."""
    probabilities, truth = softmax(logits), np.asarray(targets, dtype=np.int64)
    own = probabilities[np.arange(len(truth)), truth]
    return float((np.square(probabilities).sum(axis=1) + 1 - 2 * own).mean())


def temperature_interval(targets: ArrayLike, logits: ArrayLike) -> Interval:
    """Return the temperature with the lowest log loss and its 95 % profile-likelihood interval, within `TEMPERATURES`.

    The log loss is convex in the inverse temperature, so each bound is found by bisection.
    """
    truth, table = np.asarray(targets, dtype=np.int64), np.asarray(logits, dtype=np.float64)

    def loss(inverse: float) -> float:
        return float(decision_losses(truth, table * inverse).sum())

    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    best = _lowest(loss, low, high)
    limit = loss(best) + _CHI_SQUARED / 2
    bounds = [edge if loss(edge) <= limit else _crossing(loss, limit, best, edge) for edge in (low, high)]
    return Interval(1 / best, 1 / bounds[1], 1 / bounds[0])


def _lowest(loss: Loss, low: float, high: float) -> float:
    """Return where the convex `loss` is lowest, by golden section on the logarithm."""
    golden = (math.sqrt(5) - 1) / 2
    a, b = math.log(low), math.log(high)
    c, d = b - golden * (b - a), a + golden * (b - a)
    at_c, at_d = loss(math.exp(c)), loss(math.exp(d))
    while b - a > 1e-5:
        if at_c < at_d:
            b, d, at_d = d, c, at_c
            c = b - golden * (b - a)
            at_c = loss(math.exp(c))
        else:
            a, c, at_c = c, d, at_d
            d = a + golden * (b - a)
            at_d = loss(math.exp(d))
    return math.exp((a + b) / 2)


def _crossing(loss: Loss, limit: float, inside: float, outside: float) -> float:
    """Return where `loss` crosses `limit` between `inside` and `outside`."""
    for _ in range(40):
        middle = math.sqrt(inside * outside)
        inside, outside = (middle, outside) if loss(middle) <= limit else (inside, middle)
    return math.sqrt(inside * outside)


def cross_fitted_gain(
    targets: ArrayLike, logits: ArrayLike, expected: float = 1.0, seed: int = 0
) -> tuple[float, float]:
    """Return how much a temperature lowers the mean log loss of answers that did not choose it, and the standard error.

    Each of ten folds is scored with the temperature fitted on the others, near `expected` where they are few. A gain above 0 supports the temperature.
    """
    truth, table = np.asarray(targets, dtype=np.int64), np.asarray(logits, dtype=np.float64)
    fold = np.random.default_rng(seed).permutation(len(truth)) % FOLDS
    gains = np.zeros(len(truth))
    for number in range(FOLDS):
        out = fold == number
        if out.any() and not out.all():
            temperature = fit_temperature(truth[~out], table[~out], expected)
            gains[out] = decision_losses(truth[out], table[out]) - decision_losses(truth[out], table[out] / temperature)
    return float(gains.mean()), float(gains.std(ddof=1) / math.sqrt(len(gains))) if len(gains) > 1 else math.nan
