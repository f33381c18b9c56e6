from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from raytl.metrics.binomial import clopper_pearson, error_free_trials, fraction, p_below


@pytest.mark.parametrize(("hits", "trials"), [(0, 7), (7, 7), (3, 7), (198, 201)])
def test_intervals_are_those_of_scipy(hits: int, trials: int) -> None:
    expected = binomtest(hits, trials).proportion_ci(0.95, "exact")
    assert [float(each) for each in clopper_pearson(hits, trials)] == pytest.approx(
        [expected.low, expected.high], abs=1e-9
    )


def test_without_a_trial_nothing_is_known() -> None:
    each = fraction(0, 0)
    assert math.isnan(each.value) and (each.low, each.high) == (0.0, 1.0)
    assert p_below(0, 0, 0.9) == 1.0


@pytest.mark.parametrize("hits", [0, 1, 50, 100])
def test_p_values_are_binomial_tails(hits: int) -> None:
    assert float(p_below(hits, 100, 0.9)) == pytest.approx(float(binom.sf(hits - 1, 100, 0.9)), abs=1e-12)


def test_the_number_of_error_free_trials_is_the_smallest() -> None:
    needed = error_free_trials(0.95, 0.005)
    assert p_below(needed, needed, 0.95) <= 0.005 < p_below(needed - 1, needed - 1, 0.95)


def test_the_p_value_is_valid_where_the_promise_is_just_broken() -> None:
    hits = np.random.default_rng(0).binomial(200, 0.9, 20_000)
    assert (p_below(hits, 200, 0.9) <= 0.05).mean() <= 0.05
