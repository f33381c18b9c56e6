from __future__ import annotations

import numpy as np
import pytest

from raytl.metrics.learning_curve import LearningCurve, learning_curve

SIZES = np.array([10, 20, 40, 80, 160])


def _curve(exponent: float, count: int = 400, seed: int = 0, first: float = 0.5) -> LearningCurve:
    rng = np.random.default_rng(seed)
    rates = first * (SIZES / SIZES[0]) ** -exponent
    wrong = np.stack([rng.random((5, count)) < rate for rate in rates])
    return learning_curve(SIZES, wrong, np.full(count, 1 / count), seed=seed)


def test_the_exponent_and_the_labels_that_halve_the_error_are_recovered() -> None:
    curve = _curve(0.5)
    assert curve.images == (10, 20, 40, 80, 160)
    assert curve.exponent is not None
    assert curve.exponent.value == pytest.approx(0.5, abs=0.05)
    assert curve.halving is not None
    assert curve.halving.value == pytest.approx(2 ** (1 / curve.exponent.value))
    assert curve.halving.low < 4 < curve.halving.high


def test_the_band_covers_the_true_exponent_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(25):
        exponent = _curve(0.3, count=80, seed=seed).exponent
        assert exponent is not None
        covered += exponent.low <= 0.3 <= exponent.high
    assert covered >= 22


def test_a_flat_curve_cannot_tell() -> None:
    curve = _curve(0.0)
    assert curve.halving is None
    assert curve.why == "the curve is flat, or may be"


def test_a_wide_band_cannot_tell() -> None:
    curve = _curve(0.35, count=30, first=0.4, seed=3)
    assert curve.halving is None
    assert curve.why in ("the band of the curve is too wide", "the curve is flat, or may be")


def test_too_few_mistakes_or_sizes_cannot_tell() -> None:
    few = _curve(1.0, count=20)
    assert (few.halving, few.exponent) == (None, None)
    assert few.why.startswith("only ")
    assert few.why.endswith(" of 20 images are wrong")
    two = learning_curve(SIZES[:2], np.ones((2, 1, 9), bool), np.full(9, 1 / 9))
    assert two.why == "a class has too few images for three sizes of the training split"


def test_weights_count() -> None:
    wrong = np.zeros((3, 1, 4), bool)
    wrong[:, :, 0] = True
    assert learning_curve([1, 2, 4], wrong, [0.7, 0.1, 0.1, 0.1]).errors == pytest.approx((0.7, 0.7, 0.7))
