from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from experiments.simulations.groups import broken_promises
from experiments.simulations.promises import AIM, broken_accuracy, broken_recall
from raytl.metrics.certified import (
    DELTA,
    PRESENCE_GRID,
    certified_accuracy,
    certified_presence,
    certified_recall,
    counted,
    curve,
)


def test_a_certified_threshold_keeps_its_promise_where_the_usual_choice_does_not() -> None:
    certified, usual = broken_accuracy(200)
    assert certified <= DELTA < usual


@pytest.mark.thorough
def test_certified_thresholds_keep_their_promise_in_1000_resamples() -> None:
    assert broken_accuracy(1000)[0] <= DELTA


@pytest.mark.thorough
def test_certified_recalls_keep_their_promise_in_1000_resamples() -> None:
    assert broken_recall(1000)[0] <= DELTA


def test_groups_that_err_together_certify_less_than_their_images_would() -> None:
    by_images, by_groups = broken_promises(100, 100, (2.67, 0.33), AIM, 100)
    assert by_groups <= DELTA < by_images


def test_a_group_counts_once_with_the_fraction_of_its_images_that_are_taken() -> None:
    taken = np.array([[1, 1], [1, 0], [1, 0], [1, 0]], bool)
    hits, trials = counted(taken, taken & np.array([[1], [0], [1], [1]], bool), np.array([7, 7, 3, 3]))
    assert (hits.tolist(), trials.tolist()) == ([1, 1], [2, 1]), "1/2 + 1 rounded down; then the first group alone"
    many = certified_accuracy(np.full(300, 0.9), np.ones(300, bool), AIM, np.arange(300) % 60)
    few = certified_accuracy(np.full(300, 0.9), np.ones(300, bool), AIM, np.arange(300) % 5)
    assert (many.threshold, many.hits, many.trials) == (0.0, 60, 60)
    assert (few.threshold, few.trials) == (None, 5)
    assert certified_recall(np.full(300, 0.99), AIM, np.arange(300) % 60).threshold is not None


def test_the_lowest_certified_confidence_is_chosen() -> None:
    sure, right = np.repeat([0.3, 0.6, 0.9], 200), np.repeat([False, True, True], 200)
    each = certified_accuracy(sure, right, AIM)
    assert each.threshold == 0.5 and (each.hits, each.trials) == (400, 400)


def test_the_highest_certified_probability_is_chosen() -> None:
    each = certified_recall(np.full(100, 0.8), AIM)
    assert each.threshold == pytest.approx(1 / (1 + np.exp(-1)))


def test_too_few_images_certify_nothing_and_say_how_many_would() -> None:
    needed = certified_recall(np.full(20, 1.0), AIM).needed
    assert certified_recall(np.full(needed - 1, 1.0), AIM).threshold is None
    assert certified_recall(np.full(needed, 1.0), AIM).threshold is not None
    assert certified_recall(np.empty(0), AIM).threshold is None


def test_curves_are_those_of_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    score, positive = draw.integers(0, 20, 100) / 20, draw.random(100) < 0.4
    each = curve(score, positive)
    precision, recall, threshold = precision_recall_curve(positive, score)
    np.testing.assert_allclose(each.threshold[::-1], threshold)
    np.testing.assert_allclose((each.hits / each.taken)[::-1], precision[:-1])
    np.testing.assert_allclose((each.hits / positive.sum())[::-1], recall[:-1])


def test_the_lowest_probability_that_keeps_the_precision_of_a_label_is_certified() -> None:
    probability = np.concatenate([np.full(100, 0.3), np.full(100, 0.9)])
    present = np.concatenate([np.arange(100) < 60, np.ones(100, bool)])
    each = certified_presence(probability, present, 0.9)
    assert each.threshold is not None and 0.3 < each.threshold <= 0.5
    assert (each.hits, each.trials) == (100, 100)
    every = certified_presence(probability, np.ones(200, bool), 0.9)
    assert every.threshold == PRESENCE_GRID[0] and every.trials == 200, "the one that finds the most"
    assert certified_presence(probability[:20], present[:20], 0.9).threshold is None
