from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from raytl.metrics.calibration import (
    TEMPERATURES,
    calibration_error,
    decision_losses,
    expected_temperature,
    fit_temperature,
    reliability,
)
from raytl.metrics.scores import scores, softmax


def answers(count: int, classes: int = 4, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Return classes drawn from the probabilities of random logits, and the logits: they are calibrated."""
    rng = np.random.default_rng(count)
    logits = rng.normal(0, spread, (count, classes))
    targets = np.array([rng.choice(classes, p=row) for row in softmax(logits)])
    return targets, logits


@pytest.mark.parametrize("true", [0.3, 0.7, 1.6, 5.0])
def test_the_temperature_of_scaled_logits_is_found(true: float) -> None:
    targets, logits = answers(4000)
    assert fit_temperature(targets, logits * true) == pytest.approx(true, rel=0.1)


def test_the_temperature_has_the_lowest_log_loss() -> None:
    targets, logits = answers(4000)

    def loss(inverse: float) -> float:
        return float(decision_losses(targets, 3 * logits * inverse).mean())

    found = minimize_scalar(loss, bounds=(0.05, 20), method="bounded")
    assert 1 / fit_temperature(targets, 3 * logits) == pytest.approx(found.x, rel=2e-3)


def test_the_order_of_the_classes_stays_and_the_calibration_error_falls() -> None:
    targets, logits = answers(2000)
    sharp = logits * 4
    cooled = sharp / fit_temperature(targets, sharp)
    assert (cooled.argmax(axis=1) == sharp.argmax(axis=1)).all()
    assert calibration_error(targets, cooled) < 0.04 < 0.1 < calibration_error(targets, sharp)


@pytest.mark.parametrize("count", [1, 10, 300])
def test_a_split_without_a_mistake_does_not_make_the_answers_certain(count: int) -> None:
    targets = np.arange(count) % 3
    logits = np.eye(3)[targets]
    confidence = softmax(logits / fit_temperature(targets, logits)).max(axis=1).mean()
    assert confidence < (count + 1) / (count + 1.08)


@pytest.mark.parametrize(
    ("targets", "logits"),
    [
        (np.array([0, 1]), np.array([[1.0, math.nan], [0.0, 1.0]])),
        (np.zeros(0, np.int64), np.zeros((0, 3))),
    ],
    ids=["a logit that is no number", "nothing"],
)
def test_answers_that_say_nothing_keep_the_temperature_one(targets: np.ndarray, logits: np.ndarray) -> None:
    assert fit_temperature(targets, logits, 0.5) == 1.0


@pytest.mark.parametrize(("smoothing", "expected"), [(0.0, 1.0), (0.05, 0.75), (0.1, 0.5), (0.3, 0.5)])
def test_label_smoothing_tells_which_temperature_to_expect(smoothing: float, expected: float) -> None:
    assert expected_temperature(smoothing) == pytest.approx(expected)
    assert fit_temperature([0, 1], np.zeros((2, 3)), expected_temperature(smoothing)) == pytest.approx(expected)


@pytest.mark.parametrize("expected", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("count", [3, 10, 40])
def test_the_temperature_has_the_highest_posterior(count: int, expected: float) -> None:
    targets, logits = answers(count)

    def loss(log_temperature: float) -> float:
        table = logits / math.exp(log_temperature)
        unsure = -np.log(softmax(table)).mean()
        decided = (count * decision_losses(targets, table).sum() + 0.25 * count * unsure) / (count + 0.25)
        return float(decided + (log_temperature - math.log(expected)) ** 2 / (2 * 0.5**2))

    found = minimize_scalar(loss, bounds=(math.log(0.05), math.log(20)), method="bounded", options={"xatol": 1e-9})
    assert fit_temperature(targets, logits, expected) == pytest.approx(math.exp(found.x), rel=1e-4)


def test_the_temperature_stays_within_its_bounds() -> None:
    targets, logits = answers(2000)
    assert fit_temperature(targets, logits * 1000) == pytest.approx(TEMPERATURES[1], rel=0.01)
    assert fit_temperature(targets, logits / 1000) == pytest.approx(TEMPERATURES[0], rel=0.01)


def test_few_images_lose_little_by_a_temperature_of_noise() -> None:
    """Ten calibrated images: the temperature that is best for them alone costs 0.46 nats on new ones."""
    fresh = answers(2000, 3, 3.0)
    excess = []
    for seed in range(40):
        rows = np.random.default_rng(seed).choice(2000, 10, replace=False)
        temperature = fit_temperature(fresh[0][rows], fresh[1][rows])
        excess.append(decision_losses(fresh[0], fresh[1] / temperature).mean() - decision_losses(*fresh).mean())
    assert np.mean(excess) < 0.03


def test_the_losses_are_those_of_the_scores() -> None:
    targets, logits = answers(50)
    assert decision_losses(targets, logits).mean() == pytest.approx(scores(targets, logits)["log_loss"])
    certain = np.array([[1000.0, 0.0]])
    assert decision_losses([1], certain)[0] == pytest.approx(scores([1], certain)["log_loss"])


def test_the_bins_of_a_reliability_curve_add_up_to_the_calibration_error() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(0, 2, (300, 3)), rng.integers(0, 3, 300)
    found = reliability(targets, logits)
    assert found.count.sum() == 300
    gaps = found.count * np.abs(found.accuracy - found.confidence) / 300
    assert gaps.sum() == pytest.approx(calibration_error(targets, logits), abs=1e-12)
    assert (np.diff(found.confidence) > 0).all()
