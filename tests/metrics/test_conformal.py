"""Prediction sets: the scores by hand, and the promise in simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from raytl.metrics.conformal import Scores, aps, class_cuts, lac, marginal_cuts, min_images, set_cut, sets
from raytl.metrics.scores import softmax

ALPHA = 0.1


def population(n: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Overconfident probabilities of four classes, one of them rare."""
    draw = np.random.default_rng(seed)
    targets = draw.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])
    return softmax(3 * draw.normal(size=(n, 4)) + 3 * np.eye(4)[targets]), targets


def coverages(score: Scores, resamples: int, by_class: bool) -> NDArray[np.float64]:
    """Return the coverage of each class in the mean over calibration splits of 150 images, and over all images."""
    probabilities, targets = population(20_000)
    values, draw = score(probabilities), np.random.default_rng(3)
    total = np.zeros(5)
    for _ in range(resamples):
        places = draw.permutation(len(targets))[:1150]
        chosen = (class_cuts if by_class else marginal_cuts)(values[places[:150]], targets[places[:150]], ALPHA)
        own = sets(values[places[150:]], chosen)[np.arange(1000), targets[places[150:]]]
        total += [*(own[targets[places[150:]] == c].mean() for c in range(4)), own.mean()]
    return total / resamples


@pytest.mark.parametrize("score", [lac, aps])
def test_sets_hold_the_true_class_as_often_as_promised(score: Scores) -> None:
    assert coverages(score, 60, by_class=False)[-1] >= 1 - ALPHA - 0.01
    assert coverages(score, 60, by_class=True).min() >= 1 - ALPHA - 0.02


@pytest.mark.thorough
@pytest.mark.parametrize("score", [lac, aps])
def test_sets_hold_in_1000_resamples(score: Scores) -> None:
    assert coverages(score, 1000, by_class=False)[-1] >= 1 - ALPHA - 0.003
    assert coverages(score, 1000, by_class=True).min() >= 1 - ALPHA - 0.006


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
