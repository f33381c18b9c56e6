"""Prediction sets: the scores by hand, and the promise in simulations.

All 228,000 memberships of LAC sets are those of MAPIE 1.6.0 (`SplitConformalClassifier`), and all 608,000 of sets for all images, LAC and
APS, those of crepes 0.9.1 (`ConformalClassifier`, no smoothing). So are 560,500 of 560,500 of sets for each class, where (n + 1) alpha is no
whole number. Where it is one, crepes adds classes (2,397 of 47,500), as it compares p with 1 - (1 - alpha), which is below alpha by rounding;
with a confidence lower by 1e-9 all agree.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from experiments.simulations.promises import ALPHA, naive_coverage, set_coverages
from raytl.metrics.conformal import Scores, aps, class_cuts, lac, marginal_cuts, min_images, set_cut, sets


@pytest.mark.parametrize("score", [lac, aps])
def test_sets_hold_the_true_class_as_often_as_promised(score: Scores) -> None:
    assert set_coverages(score, 60, by_class=False)[-1] >= 1 - ALPHA - 0.01
    assert set_coverages(score, 60, by_class=True).min() >= 1 - ALPHA - 0.02


def test_sets_that_take_an_overconfident_model_at_its_word_break_the_promise() -> None:
    assert naive_coverage() < 1 - ALPHA - 0.02


@pytest.mark.thorough
@pytest.mark.parametrize("score", [lac, aps])
def test_sets_hold_in_1000_resamples(score: Scores) -> None:
    assert set_coverages(score, 1000, by_class=False)[-1] >= 1 - ALPHA - 0.003
    assert set_coverages(score, 1000, by_class=True).min() >= 1 - ALPHA - 0.006


def test_scores_of_an_image() -> None:
    row = np.array([[0.2, 0.5, 0.2, 0.1]])
    np.testing.assert_allclose(lac(row), [[0.8, 0.5, 0.8, 0.9]])
    np.testing.assert_allclose(aps(row), [[0.5, 0.0, 0.7, 0.9]])


@pytest.mark.parametrize(("alpha", "needed"), [(0.1, 9), (0.05, 19), (0.2, 4), (0.3, 3)])
def test_below_the_least_number_of_images_every_class_is_in_the_set(alpha: float, needed: int) -> None:
    assert min_images(alpha) == needed
    assert set_cut(np.arange(needed) / needed, alpha) < math.inf
    assert set_cut(np.arange(needed - 1) / needed, alpha) == math.inf


def test_a_class_without_calibration_images_is_in_every_set() -> None:
    scores = lac(np.full((30, 2), 0.5))
    assert class_cuts(scores, np.zeros(30, np.int64), ALPHA).tolist() == [0.5, math.inf]


def test_images_more_certain_than_those_of_calibration_have_no_empty_aps_set() -> None:
    sure = np.array([[0.9, 0.1], [0.8, 0.2]])
    cuts = marginal_cuts(aps(np.tile(sure, (10, 1))), np.zeros(20, np.int64), ALPHA)
    assert sets(aps(np.array([[0.99, 0.01]])), cuts).tolist() == [[True, False]]
