"""When a sweep has gained what its validation split can show."""

from __future__ import annotations

import math

import numpy as np
import pytest

from raytl.search.stopping import MIN_TRIALS, decision, gain_bound


def test_the_bound_follows_the_spacings_of_the_best_scores() -> None:
    # spacings 1 * 0.04, 2 * 0.02, 3 * 0.01, 4 * 0.01: a scale of 0.0375
    scores = [0.90, 0.86, 0.84, 0.83, 0.82, *[0.1] * 5]
    assert gain_bound(scores, 10) == pytest.approx(2.296 * 0.0375 * math.log(2))


def test_the_bound_holds_for_nine_in_ten_samples_of_an_exponential_tail() -> None:
    rng = np.random.default_rng(0)
    expected = math.log(2)  # of 20 more draws after 20, with a scale of 1
    held = [gain_bound(rng.exponential(size=20).tolist(), 20) >= expected for _ in range(2000)]
    assert np.mean(held) == pytest.approx(0.9, abs=0.02)


def test_a_sweep_stops_when_the_remaining_trials_gain_less_than_the_noise() -> None:
    scores = [0.90, 0.89, 0.885, 0.88, 0.878, *[0.8] * 15]
    stop = decision(scores, 20, noise=0.03)
    assert stop is not None
    assert (stop.ended, stop.remaining, stop.noise) == (20, 20, 0.03)
    assert "after 20 scored trials: the other 20 are expected to gain at most 0.0" in stop.reason
    assert decision(scores, 20, noise=0.01) is None
    assert decision(scores, 400, noise=0.03) is None, "many more trials may gain more"


@pytest.mark.parametrize(("count", "remaining"), [(MIN_TRIALS - 1, 50), (MIN_TRIALS, 0)])
def test_a_sweep_neither_stops_early_nor_after_its_last_trial(count: int, remaining: int) -> None:
    assert decision([0.9] * count, remaining, noise=1.0) is None
    assert decision([0.9] * MIN_TRIALS, 1, noise=1.0) is not None


def test_equal_scores_gain_nothing() -> None:
    assert gain_bound([1.0] * 12, 50) == 0
