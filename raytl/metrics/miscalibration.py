"""Evidence of miscalibration: the calibration error beside what a perfectly calibrated model would show, the interval of a
temperature, and its gain on answers that did not choose it.

Images of a group (a patient, a site) err together. With groups, calibrated models are those that are as sure as right on average
over groups and err by groups as this one does (random signs of groups), and standard errors are those of whole groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raytl.metrics.calibration import TEMPERATURES, decision_losses, fit_temperature
from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.draws import Groups, group_sums
from raytl.metrics.intervals import Interval
from raytl.metrics.scores import ECE_BINS, confidence_bin, facts, softmax
from raytl.metrics.sign_flips import random_sums

Loss = Callable[[float], float]
"""The summed log loss at an inverse temperature."""
SIMULATIONS = 1000
FOLDS = 10
_STEP = 1e-3
"""The step of derivatives, as a fraction of the inverse temperature."""
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


def calibration_errors(
    targets: ArrayLike, logits: ArrayLike, seed: int = 0, groups: Groups | None = None
) -> dict[str, CalibrationError]:
    """Return the expected calibration error of `logits (n, k)` with bins of equal width (`ece`) and of equal counts
    (`adaptive_ece`; Nguyen and O'Connor 2015), each beside simulated models that are right as often as they are confident.

    The simulation draws each answer as right with its own confidence, so it follows the size and confidences of the split; with
    `groups (n,)`, whole groups change the sign of what they err.
    """
    decisions = facts(targets, softmax(logits))
    return hit_errors(decisions.targets == decisions.predicted, decisions.confidence, seed, groups=groups)


def hit_errors(
    hits: NDArray[np.bool_],
    sure: Floats,
    seed: int = 0,
    simulations: int = SIMULATIONS,
    groups: Groups | None = None,
) -> dict[str, CalibrationError]:
    """Return both errors of `calibration_errors` for events, each a hit or not, `(n,)`, that were predicted with the
    probabilities `sure (n,)`: answers that are right, or a label that is present. Those of different `groups` are independent."""
    rank = np.argsort(np.argsort(sure, kind="stable"), kind="stable")
    bins = {"ece": confidence_bin(sure), "adaptive_ece": rank * ECE_BINS // len(sure)}
    if groups is not None:
        return {name: _grouped_error(hits - sure, places, groups, seed, simulations) for name, places in bins.items()}
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


def _grouped_error(gaps: Floats, bins: Ints, groups: Groups, seed: int, simulations: int) -> CalibrationError:
    """Return the error of events with the differences `gaps (n,)` between what is there and its probability, in `bins (n,)`."""
    sums = group_sums(gaps[:, None] * np.eye(ECE_BINS)[bins], groups)
    simulated = np.abs(random_sums(sums, simulations, seed)).sum(axis=1) / len(gaps)
    return compared(float(np.abs(sums.sum(axis=0)).sum() / len(gaps)), simulated)


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


def temperature_interval(targets: ArrayLike, logits: ArrayLike, groups: Groups | None = None) -> Interval:
    """Return the temperature with the lowest log loss and its 95 % profile-likelihood interval, within `TEMPERATURES`.

    The log loss is convex in the inverse temperature, so each bound is found by bisection. With `groups (n,)`, the likelihood ratio
    is that of as many independent images as the groups are worth (Rotnitzky and Jewell 1990).
    """
    truth, table = np.asarray(targets, dtype=np.int64), np.asarray(logits, dtype=np.float64)

    def losses(inverse: float) -> Floats:
        return decision_losses(truth, table * inverse)

    def loss(inverse: float) -> float:
        return float(losses(inverse).sum())

    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    best = _lowest(loss, low, high)
    limit = loss(best) + _CHI_SQUARED / 2 * (1.0 if groups is None else _design_effect(losses, best, groups))
    bounds = [edge if loss(edge) <= limit else _crossing(loss, limit, best, edge) for edge in (low, high)]
    return Interval(1 / best, 1 / bounds[1], 1 / bounds[0])


def _design_effect(losses: Callable[[float], Floats], best: float, groups: Groups) -> float:
    """Return the variance of the slope of the loss at `best` over groups, divided by that of independent images, its curvature."""
    step = _STEP * best
    less, at_best, more = losses(best - step), losses(best), losses(best + step)
    curvature = float((less - 2 * at_best + more).sum()) / step**2
    slopes = group_sums((more - less) / (2 * step), groups)
    count = len(slopes)
    if count < 2:
        return math.inf
    if curvature <= 0:
        return 1.0
    return float(np.square(slopes - slopes.mean()).sum()) * count / (count - 1) / curvature


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
    targets: ArrayLike, logits: ArrayLike, expected: float = 1.0, seed: int = 0, groups: Groups | None = None
) -> tuple[float, float]:
    """Return how much a temperature lowers the mean log loss of answers that did not choose it, and the standard error.

    Each of ten folds is scored with the temperature fitted on the others, near `expected` where they are few. A gain above 0
    supports the temperature. Folds are of whole `groups (n,)`, and the standard error is that of their sums.
    """
    truth, table = np.asarray(targets, dtype=np.int64), np.asarray(logits, dtype=np.float64)
    owners = np.arange(len(truth)) if groups is None else np.unique(groups, return_inverse=True)[1]
    units = int(owners.max()) + 1
    fold = (np.random.default_rng(seed).permutation(units) % FOLDS)[owners]
    gains = np.zeros(len(truth))
    for number in range(FOLDS):
        out = fold == number
        if out.any() and not out.all():
            temperature = fit_temperature(truth[~out], table[~out], expected)
            gains[out] = decision_losses(truth[out], table[out]) - decision_losses(truth[out], table[out] / temperature)
    if units < 2:
        return float(gains.mean()), math.nan
    sums = np.bincount(owners, gains - gains.mean())
    return float(gains.mean()), math.sqrt(float(np.square(sums).sum()) * units / (units - 1)) / len(gains)
