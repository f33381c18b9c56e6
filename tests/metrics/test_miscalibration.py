from __future__ import annotations

import numpy as np
import pytest

from experiments.simulations.calibration import answers, false_alarms, temperature_coverage
from raytl.metrics.calibration import calibration_error, fit_temperature
from raytl.metrics.miscalibration import brier_score, calibration_errors, cross_fitted_gain, temperature_interval


def test_the_interval_of_a_temperature_holds_the_true_one() -> None:
    assert temperature_coverage(12) >= 0.75


@pytest.mark.thorough
def test_the_interval_of_a_temperature_holds_the_true_one_in_95_percent() -> None:
    """191 of 200 in the mean; binomial noise allows 95 % - 2.6 points at the 5 % level."""
    assert temperature_coverage(200) >= 0.925


def test_calibrated_answers_show_no_evidence_of_miscalibration() -> None:
    assert false_alarms(15) <= 0.3


@pytest.mark.thorough
def test_calibrated_answers_show_no_evidence_of_miscalibration_in_at_least_90_percent() -> None:
    assert false_alarms(200) <= 0.1


def test_the_band_is_that_of_perfect_models_of_this_size() -> None:
    targets, logits = answers(0)
    errors = [calibration_error(*answers(seed)) for seed in range(60)]
    band = calibration_errors(targets, logits)["ece"]
    assert band.value == pytest.approx(calibration_error(targets, logits))
    assert band.mean == pytest.approx(np.mean(errors), rel=0.15)
    assert band.high == pytest.approx(np.quantile(errors, 0.95), rel=0.2)


def test_overconfident_answers_are_evidence_and_a_temperature_gains() -> None:
    targets, logits = answers(0, temperature=2.0)
    errors = calibration_errors(targets, logits)
    assert errors["ece"].is_evidence and errors["adaptive_ece"].is_evidence
    gain, error = cross_fitted_gain(targets, logits)
    assert gain > 3 * error
    assert temperature_interval(targets, logits).value == pytest.approx(fit_temperature(targets, logits), rel=0.03)


def test_a_temperature_of_calibrated_answers_gains_nothing_in_the_mean() -> None:
    gains = [cross_fitted_gain(*answers(seed, 100))[0] for seed in range(10)]
    assert np.mean(gains) < 0.002


def test_the_brier_score_is_the_squared_distance() -> None:
    targets, logits = answers(0, 50)
    odds = np.exp(logits)
    distance = odds / odds.sum(1, keepdims=True) - np.eye(6)[targets]
    assert brier_score(targets, logits) == pytest.approx(np.square(distance).sum(1).mean())


def test_the_interval_ends_at_the_bounds_where_nothing_limits_it() -> None:
    targets, logits = np.zeros(5, np.int64), np.tile([3.0, 0.0], (5, 1))
    assert temperature_interval(targets, logits).low == pytest.approx(0.05)
