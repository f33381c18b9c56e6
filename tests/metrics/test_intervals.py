from __future__ import annotations

import time

import numpy as np
import pytest

from raytl.metrics.binomial import clopper_pearson
from raytl.metrics.intervals import Interval, bootstrap, estimates, mean_end
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


def test_scores_of_images_that_are_all_right_have_exact_bounds() -> None:
    targets = np.repeat([0, 1, 2], [30, 20, 10])
    found = bootstrap(targets, np.eye(3)[targets], resamples=50)
    for each, images in ((found.overall["accuracy"], 60), (found.recall[2], 10), (found.precision[1], 20)):
        low, high = clopper_pearson(images, images)
        assert (each.value, each.low, each.high) == (1, pytest.approx(low), high)
    assert found.f1[0].low == pytest.approx(2 * found.recall[0].low / (1 + found.recall[0].low))
    assert found.overall["balanced_accuracy"].low < found.overall["accuracy"].low
    assert found.overall["balanced_accuracy"] == found.overall["macro_f1"]


def test_scores_of_images_that_are_all_wrong_have_exact_bounds() -> None:
    targets = np.repeat([0, 1], [30, 10])
    found = bootstrap(targets, np.eye(2)[1 - targets], resamples=50)
    assert found.overall["accuracy"].high == pytest.approx(clopper_pearson(0, 40)[1])
    assert found.recall[1].high == pytest.approx(clopper_pearson(0, 10)[1])
    assert found.overall["accuracy"].low == found.overall["balanced_accuracy"].low == 0 < found.f1[0].high < 0.2


@pytest.mark.parametrize("images", [(40,), (20, 20), (300, 10, 40), (9, 1)])
def test_the_bound_of_a_mean_is_the_lowest_that_the_images_allow(images: tuple[int, ...]) -> None:
    each = mean_end(Interval(1.0, 1.0, 1.0), images)
    draw = np.random.default_rng(0)
    share = draw.dirichlet(np.full(len(images), 0.5), 20_000)  # of the logarithm of the probability, by class
    means = (0.025 ** (share / images)).mean(axis=1)
    assert each.high == 1 and 0 < each.low <= means.min() + 1e-12
    assert each.low == pytest.approx(means.min(), abs=0.002)


def test_a_class_of_one_image_has_an_interval_from_the_resamples_that_hold_it() -> None:
    table = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.1, 0.9, 0.0]])
    estimates = bootstrap(np.array([0, 0, 1]), table)
    each = estimates.recall[1]
    assert (each.value, each.low, each.high) == (1, pytest.approx(0.025), 1)
    assert np.isnan(estimates.recall[2].value)
    assert np.isnan(estimates.recall[2].low)
    assert estimates.support == (2, 1, 0)


def test_five_thousand_samples_take_seconds() -> None:
    targets, logits = _sample(5000, classes=20)
    started = time.process_time()
    bootstrap(targets, softmax(logits))
    assert time.process_time() - started < 20


def test_intervals_of_groups_cover_the_truth_where_those_of_images_do_not() -> None:
    groups, covered = np.repeat(np.arange(25), 12), np.zeros(2)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        right = rng.random(300) < rng.beta(4, 1, 25)[groups]  # 80 % on average, more of some patients than of others

        def accuracy(draws: np.ndarray, right: np.ndarray = right) -> dict[str, np.ndarray]:
            return {"accuracy": right[draws].mean(axis=1)}

        for place, own in enumerate((None, groups)):
            (each,) = estimates(accuracy, 300, resamples=200, groups=own)["accuracy"]
            covered[place] += each.low <= 0.8 <= each.high
    assert covered[0] < 50 < 53 <= covered[1]


def test_groups_of_one_image_have_the_intervals_of_images() -> None:
    targets, logits = _sample(60)
    table, alone = softmax(logits), np.random.default_rng(0).permutation(60)
    one, other = bootstrap(targets, table), bootstrap(targets, table, groups=alone)
    assert one.overall["accuracy"].low == pytest.approx(other.overall["accuracy"].low, abs=0.02)
    assert one.support == other.support


def test_exact_bounds_count_groups() -> None:
    groups = np.repeat(np.arange(6), 10)
    targets = np.repeat([0, 1], [40, 20])
    found = bootstrap(targets, np.eye(2)[targets], resamples=20, groups=groups)
    assert found.overall["accuracy"].low == pytest.approx(clopper_pearson(6, 6)[0])
    assert found.recall[1].low == pytest.approx(clopper_pearson(2, 2)[0])
    assert found.support == (40, 20)
