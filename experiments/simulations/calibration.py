"""Answers of known calibration: how often an interval holds the temperature, and how often calibrated answers raise an alarm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.miscalibration import calibration_errors, temperature_interval


def answers(
    seed: int, n: int = 300, classes: int = 6, temperature: float = 1.0
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return classes `(n,)` and logits `(n, classes)` that `temperature` calibrates."""
    draw = np.random.default_rng(seed)
    logits = 2 * draw.normal(size=(n, classes))
    odds = np.exp(logits)
    targets = (draw.random(n)[:, None] > np.cumsum(odds / odds.sum(1, keepdims=True), 1)).sum(1)
    return targets, temperature * logits


def temperature_coverage(runs: int) -> float:
    """Return how often the interval of a temperature holds the true one, drawn from 0.4 to 2."""
    truths = 0.4 * 5 ** np.random.default_rng(7).random(runs)
    intervals = [temperature_interval(*answers(seed, temperature=t)) for seed, t in enumerate(truths)]
    return float(np.mean([each.low <= t <= each.high for each, t in zip(intervals, truths, strict=True)]))


def false_alarms(runs: int) -> float:
    """Return how often a perfectly calibrated model shows evidence of miscalibration."""
    return float(np.mean([calibration_errors(*answers(seed))["ece"].is_evidence for seed in range(runs)]))
