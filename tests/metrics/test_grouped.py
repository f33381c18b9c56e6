"""Four copies of an image that are one group say as much as the image: with their groups, every interval and test is that of the
images; without, it is too sure."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.simulations.calibration import answers
from experiments.simulations.groups import false_alarms, set_coverage, temperature_coverage
from raytl.metrics.confusion import Floats
from raytl.metrics.findings import mean_by_images
from raytl.metrics.grouped import fraction_of
from raytl.metrics.intervals import Interval
from raytl.metrics.miscalibration import calibration_errors, cross_fitted_gain, temperature_interval
from raytl.metrics.robustness import answered, scored

IMAGES, COPIES = 60, 4
ONE, FOUR = np.arange(IMAGES), np.repeat(np.arange(IMAGES), COPIES)


def width(each: Interval) -> float:
    return each.high - each.low


def test_a_calibration_error_is_judged_by_groups() -> None:
    targets, logits = answers(0, IMAGES, temperature=1.4)
    (once, copied), alone = (
        [calibration_errors(targets[own], logits[own], groups=own)["ece"] for own in (ONE, FOUR)],
        calibration_errors(targets[FOUR], logits[FOUR])["ece"],
    )
    assert copied.value == pytest.approx(once.value) == pytest.approx(alone.value)
    assert (copied.mean, copied.high, copied.p) == pytest.approx((once.mean, once.high, once.p))
    assert alone.high < 0.7 * copied.high and alone.p < copied.p


def test_groups_of_one_calibrated_image_are_images() -> None:
    targets, logits = answers(0)
    plain, alone = (calibration_errors(targets, logits, groups=own)["ece"] for own in (None, np.arange(300)))
    assert (alone.mean, alone.high) == pytest.approx((plain.mean, plain.high), rel=0.1)


def test_a_temperature_and_its_gain_count_groups() -> None:
    targets, logits = answers(1, IMAGES)
    once, copied = (temperature_interval(targets[own], logits[own], own) for own in (ONE, FOUR))
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high), rel=1e-4)
    assert width(temperature_interval(targets[FOUR], logits[FOUR])) < 0.7 * width(copied)
    assert width(temperature_interval(targets, logits)) == pytest.approx(width(once), rel=0.3)
    assert cross_fitted_gain(targets, logits, groups=ONE) == pytest.approx(cross_fitted_gain(targets, logits))
    errors = [cross_fitted_gain(targets[FOUR], logits[FOUR], groups=own)[1] for own in (FOUR, None)]
    assert errors[0] > 1.4 * errors[1]


def test_one_group_of_validation_says_nothing_about_a_temperature() -> None:
    targets, logits = answers(2, IMAGES)
    one_group = np.zeros(IMAGES, np.int64)
    each = temperature_interval(targets, logits, one_group)
    assert (each.low, each.high) == pytest.approx((0.05, 20.0))
    assert np.isnan(cross_fitted_gain(targets, logits, groups=one_group)[1])


def test_a_fraction_and_a_mean_are_of_groups() -> None:
    good = ONE % 3 > 0
    once, copied = (fraction_of(good[own], own) for own in (ONE, FOUR))
    assert copied == once and width(fraction_of(good[FOUR], None)) < 0.7 * width(copied)
    assert width(once) == pytest.approx(width(fraction_of(good, None)), rel=0.15)
    assert fraction_of(np.ones(IMAGES, bool), FOUR[:IMAGES]).low == pytest.approx(0.025 ** (1 / 15)), "15 groups"
    assert np.isnan(fraction_of(np.zeros(0, bool), None).value)


def test_one_image_has_no_interval() -> None:
    half = mean_by_images(np.zeros(4, np.int64), np.array([1.0, 0.0, 1.0, 0.0]))
    assert half.value == 0.5 and np.isnan([half.low, half.high]).all()
    assert mean_by_images(np.zeros(2, np.int64), np.ones(2)).low == pytest.approx(0.025)


def test_losses_of_accuracy_are_swapped_by_groups() -> None:
    targets = ONE % 3
    right, wrong = 3.0 * np.eye(3)[targets], 3.0 * np.eye(3)[(targets + (ONE < 6)) % 3]
    once, copied = (answered(targets[own], right[own], [wrong[own]], own)[1][0] for own in (ONE, FOUR))
    assert once.p == copied.p == pytest.approx(0.5**6)
    assert (copied.lost, copied.accuracy) == (24, once.accuracy)
    assert answered(targets[FOUR], right[FOUR], [wrong[FOUR]])[1][0].p == pytest.approx(0.5**24)


def test_losses_of_scores_are_swapped_and_drawn_by_groups() -> None:
    rng = np.random.default_rng(0)

    def sums(scores: Floats) -> Floats:
        return np.stack([scores, np.full(IMAGES, 4.0), np.full(IMAGES, 3.0), rng.binomial(4, 0.75, IMAGES)], axis=1)

    clean, lower = sums(rng.random(IMAGES)), sums(rng.random(IMAGES) - 0.05)
    (first, (once,)), (second, (copied,)) = (scored(clean[own], [lower[own]], groups=own) for own in (ONE, FOUR))
    assert (copied.p, copied.is_overconfident) == (once.p, once.is_overconfident)
    assert (second.score.low, second.score.high) == pytest.approx((first.score.low, first.score.high))
    assert width(scored(clean[FOUR], [lower[FOUR]])[0].score) < 0.7 * width(first.score)


def test_patients_that_differ_raise_alarms_and_hide_temperatures_only_if_images_are_counted() -> None:
    by_images, by_groups = false_alarms(10, 30, 0.12, 60)
    assert by_groups <= 0.1 < by_images
    by_images, by_groups = temperature_coverage(10, 30, 0.5, 40)
    assert by_images < 0.8 <= by_groups


def test_sets_that_images_of_groups_calibrate_hold_nearly_what_they_promise() -> None:
    assert set_coverage(25, 12, 0.5, 0.1, 100) == pytest.approx(0.9, abs=0.02)
