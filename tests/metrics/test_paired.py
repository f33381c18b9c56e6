"""Two models on the same images, and what chance alone would show."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from raytl.metrics import paired as paired_module
from raytl.metrics.draws import Measure
from raytl.metrics.paired import classes_by_images, mcnemar, paired, paired_by_images

Table = NDArray[np.float64]


def sure(predicted: list[int] | NDArray[np.int64], classes: int) -> Table:
    """Probabilities of a model that is sure of `predicted`."""
    return np.asarray(np.full((len(predicted), classes), 0.1 / (classes - 1)) + np.eye(classes)[predicted] * (0.9 - 0.1 / (classes - 1)))  # fmt: skip


def noisy(targets: NDArray[np.int64], accuracy: float, rng: np.random.Generator, classes: int = 3) -> NDArray[np.int64]:
    wrong = rng.random(len(targets)) >= accuracy
    return np.where(wrong, (targets + rng.integers(1, classes, len(targets))) % classes, targets)


def test_the_same_predictions_gain_nothing_with_certainty() -> None:
    targets = np.arange(60) % 3
    result = paired(targets, sure(targets, 3), sure(targets, 3), "balanced_accuracy")
    assert (result.gain, result.low, result.high, result.p_better, result.p_worse) == (0, 0, 0, 1, 1)


def test_memory_does_not_grow_with_the_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    targets = np.arange(400) % 3
    before, after = (sure(noisy(targets, accuracy, rng), 3) for accuracy in (0.80, 0.82))
    whole = paired(targets, before, after, "balanced_accuracy")
    for name in ("_DRAWN_AT_ONCE", "_DRAWS_AT_ONCE"):
        monkeypatch.setattr(paired_module, name, 50_000)
    tracemalloc.start()
    parts = paired(targets, before, after, "balanced_accuracy")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6, "4000 resamples of 400 images at once are 13 MB"
    assert parts.gain == whole.gain and abs(parts.p_better - whole.p_better) < 0.03 and parts.p_better != 1
    assert abs(parts.low - whole.low) < 0.005 and abs(parts.high - whole.high) < 0.005


@pytest.mark.parametrize(("gained", "lost"), [(3, 0), (10, 2), (5, 5), (0, 7)])
def test_mcnemar_is_the_binomial(gained: int, lost: int) -> None:
    better, worse = mcnemar(gained, lost)
    assert better == binomtest(gained, gained + lost, alternative="greater").pvalue
    assert worse == binomtest(lost, gained + lost, alternative="greater").pvalue


def test_three_to_none_is_not_enough_though_the_bootstrap_says_so() -> None:
    targets = np.zeros(100, dtype=np.int64)
    targets[50:] = 1
    before, after = targets.copy(), targets.copy()
    before[[0, 1, 60]] = 1 - before[[0, 1, 60]]
    result = paired(targets, sure(before, 2), sure(after, 2), "balanced_accuracy")
    assert (result.gained, result.lost) == (3, 0)
    assert result.least >= 0
    assert result.p_better == pytest.approx(1 / 8, abs=0.02)


def test_the_swaps_of_equal_classes_are_mcnemar() -> None:
    rng = np.random.default_rng(0)
    targets = np.repeat([0, 1, 2], 100)
    before, after = noisy(targets, 0.8, rng), noisy(targets, 0.9, rng)
    swapped = paired(targets, sure(before, 3), sure(after, 3), "balanced_accuracy", resamples=6000)
    exact = paired(targets, sure(before, 3), sure(after, 3), "accuracy")
    assert swapped.p_better == pytest.approx(exact.p_better, abs=0.015)
    assert swapped.gain == pytest.approx(exact.gain)


def test_a_loss_that_falls_is_a_gain() -> None:
    rng = np.random.default_rng(0)
    targets = np.repeat([0, 1, 2], 60)
    before, after = sure(noisy(targets, 0.6, rng), 3), sure(noisy(targets, 0.95, rng), 3)
    result = paired(targets, before, after, "log_loss", resamples=1000)
    assert result.after < result.before
    assert 0 < result.low < result.gain < result.high
    assert result.p_better < 0.01 < result.p_worse


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy"])
def test_equal_models_are_called_better_as_rarely_as_the_p_value_says(metric: str) -> None:
    rng = np.random.default_rng(1)
    targets = np.repeat([0, 1, 2], [60, 30, 10])
    p = [
        paired(targets, *(sure(noisy(targets, 0.85, rng), 3) for _ in range(2)), metric, resamples=199).p_better
        for _ in range(200)
    ]
    called = sum(value <= 0.05 for value in p)
    assert binomtest(called, len(p), 0.05, alternative="greater").pvalue > 0.01


def means(before: NDArray[np.float64], after: NDArray[np.float64]) -> Measure:
    """The mean of a value of each image, as a score of sets; undefined where NaN is drawn."""
    table = np.concatenate([before, after])
    return lambda draws: {name: table[draws].mean(axis=1) for name in ("mean", "loss")}


def test_the_p_values_of_a_few_images_are_exact() -> None:
    """Of 2^5 swaps, only that of no image gains as much."""
    result = paired_by_images(means(np.zeros(5), np.arange(1.0, 6.0)), 5, "mean")
    assert (result.p_better, result.p_worse, result.gained, result.lost) == (1 / 32, 1, 5, 0)
    assert paired_by_images(means(np.zeros(5), np.arange(1.0, 6.0)), 5, "loss").p_worse == 1 / 32


def test_equal_models_are_called_better_by_images_as_rarely_as_the_p_value_says() -> None:
    rng = np.random.default_rng(2)
    p = [paired_by_images(means(*rng.normal(size=(2, 30))), 30, "mean", resamples=199).p_better for _ in range(200)]
    called = sum(value <= 0.05 for value in p)
    assert called > 0 and binomtest(called, len(p), 0.05, alternative="greater").pvalue > 0.01


def test_the_interval_by_images_is_that_of_the_mean_difference() -> None:
    rng = np.random.default_rng(3)
    before, after = rng.normal(size=400), rng.normal(0.2, 1, size=400)
    result = paired_by_images(means(before, after), 400, "mean", resamples=2000)
    error = 1.96 * (after - before).std() / 20
    assert result.low == pytest.approx(result.gain - error, abs=0.01)
    assert result.high == pytest.approx(result.gain + error, abs=0.01)


def test_draws_without_a_score_are_left_out() -> None:
    before, after = np.array([1.0, 2.0, np.nan]), np.array([2.0, 3.0, np.nan])
    result = paired_by_images(means(before, after), 3, "mean")
    assert np.isnan(result.gain) and (result.low, result.high) == pytest.approx((1, 1))
    assert (result.p_better, result.p_worse) == (1, 1)


def test_each_class_is_compared_as_if_alone() -> None:
    rng = np.random.default_rng(4)
    before, after = rng.normal(size=(2, 40, 3)) - [[[0.0, 0.5, 0.0]], [[0.0, 0.0, 1.0]]]
    table = np.concatenate([before, after])
    changes = classes_by_images(lambda draws: {"ap": table[draws].mean(axis=1)}, 40, "ap", resamples=300)
    for k, change in enumerate(changes):
        alone = paired_by_images(means(before[:, k], after[:, k]), 40, "mean", resamples=300)
        assert (change.before, change.after) == pytest.approx((alone.before, alone.after))
        assert (change.gained, change.lost) == (alone.gained, alone.lost)
        assert change.p_worse == pytest.approx(alone.p_worse, abs=0.08)
    assert changes[2].p_worse < 0.01 < changes[1].p_worse
