from __future__ import annotations

import time

import numpy as np
import pytest

from raytl.metrics.intervals import bootstrap
from raytl.metrics.scores import scores, softmax


def _sample(n: int, classes: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, n)
    return targets, rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[targets]


def test_the_values_are_the_scores_and_lie_inside_their_intervals() -> None:
    targets, logits = _sample(200)
    estimates = bootstrap(targets, softmax(logits))
    quick = scores(targets, logits)
    assert {name: estimates.overall[name].value for name in quick} == quick
    assert sorted(estimates.overall) == sorted([*quick, "ece", "top_4_accuracy"])
    for name, each in estimates.overall.items():
        assert each.low < each.high, name
        assert name == "ece" or each.low <= each.value <= each.high, name
    assert sum(estimates.support) == 200
    assert len(estimates.precision) == len(estimates.recall) == len(estimates.f1) == 5


def test_the_interval_of_accuracy_is_the_binomial_one() -> None:
    targets, logits = _sample(1000)
    estimates = bootstrap(targets, softmax(logits)).overall["accuracy"]
    half_width = 1.96 * (estimates.value * (1 - estimates.value) / 1000) ** 0.5
    assert estimates.low == pytest.approx(estimates.value - half_width, abs=0.004)
    assert estimates.high == pytest.approx(estimates.value + half_width, abs=0.004)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    truth = scores(*_sample(200_000, seed=99))["accuracy"]
    covered = 0
    for seed in range(1, 101):
        targets, logits = _sample(150, seed=seed)
        each = bootstrap(targets, softmax(logits), resamples=300).overall["accuracy"]
        covered += each.low <= truth <= each.high
    assert 88 <= covered <= 100


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    targets, logits = _sample(60)
    table = softmax(logits)
    assert bootstrap(targets, table, seed=3) == bootstrap(targets, table, seed=3)
    assert bootstrap(targets, table, seed=3) != bootstrap(targets, table, seed=4)


def test_a_class_of_one_image_has_an_interval_from_the_resamples_that_hold_it() -> None:
    table = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.1, 0.9, 0.0]])
    estimates = bootstrap(np.array([0, 0, 1]), table)
    assert (estimates.recall[1].value, estimates.recall[1].low, estimates.recall[1].high) == (1, 1, 1)
    assert np.isnan(estimates.recall[2].value)
    assert np.isnan(estimates.recall[2].low)
    assert estimates.support == (2, 1, 0)


def test_five_thousand_samples_take_seconds() -> None:
    targets, logits = _sample(5000, classes=20)
    started = time.process_time()
    bootstrap(targets, softmax(logits))
    assert time.process_time() - started < 20
