"""New images beside those before: separated apart when they differ, and not when they do not."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.metrics.drift import confidence_shift, drift


@pytest.mark.parametrize(("shift", "least", "most"), [(0.0, 0.0, 0.25), (0.5, 0.3, 0.95), (3.0, 0.99, 1.0)])
def test_the_amount_grows_with_the_shift(shift: float, least: float, upper: float) -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(size=(120, 20)).astype(np.float32)
    now = rng.normal(size=(120, 20)).astype(np.float32) + np.float32(shift) * (np.arange(20) < 8)
    results = drift(before, now, permutations=99)
    assert least <= results.amount <= upper
    assert (results.auc_p <= 0.05) == (results.mmd_p <= 0.05) == (shift > 0)


def test_the_same_kind_of_images_is_called_drift_as_rarely_as_the_p_value_says() -> None:
    rng = np.random.default_rng(3)
    results = [drift(*rng.normal(size=(2, 30, 8)).astype(np.float32), seed=i, permutations=99) for i in range(100)]
    assert sum(each.auc_p <= 0.05 for each in results) <= 11
    assert sum(each.mmd_p <= 0.05 for each in results) <= 11


def test_a_change_of_spread_alone_is_seen_by_the_discrepancy() -> None:
    rng = np.random.default_rng(0)
    results = drift(rng.normal(size=(150, 6)).astype(np.float32), 2.5 * rng.normal(size=(150, 6)).astype(np.float32))
    assert results.mmd_p <= 0.01


def test_features_that_do_not_vary_are_no_drift() -> None:
    same = np.ones((20, 4), dtype=np.float32)
    assert drift(same, same, permutations=19).amount == 0


def test_confidence_is_compared() -> None:
    rng = np.random.default_rng(0)
    assert confidence_shift(rng.uniform(0.8, 1, 100), rng.uniform(0.5, 1, 100)).p < 0.001
