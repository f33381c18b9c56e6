"""No threshold has a higher F1 than the chosen one."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.metrics.best_f1 import best_f1_threshold


@pytest.mark.parametrize("levels", [5, 1000])
def test_no_other_threshold_has_a_higher_f1_where_some_things_are_never_found(levels: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        confidence = rng.integers(1, levels, 15) / levels
        correct = rng.random(15) < confidence
        correct[0] = True
        wanted = int(correct.sum()) + 4
        tried = [
            2 * correct[confidence >= each].sum() / ((confidence >= each).sum() + wanted)
            for each in (best_f1_threshold(confidence, correct, wanted), *confidence)
        ]
        assert tried[0] == pytest.approx(max(tried))


def test_misses_lower_the_threshold() -> None:
    confidence, correct = [0.9, 0.5, 0.4], np.array([True, False, True])
    assert best_f1_threshold(confidence, correct, 2) == pytest.approx(0.2)
    assert best_f1_threshold([*confidence, 0.1], np.append(correct, False), 2) == pytest.approx(0.25)


def test_the_threshold_is_a_float32_that_keeps_what_it_promises_near_1() -> None:
    rng = np.random.default_rng(0)
    for shift in (0.0, 8.0, 13.0, 17.0):
        logits = np.append(shift + np.sort(rng.random(6) * 4), 0.0)
        confidence, correct = 1 / (1 + np.exp(-logits)), np.arange(7) % 7 > 2
        threshold = best_f1_threshold(confidence, correct, 4)
        assert threshold == np.float32(threshold)
        assert threshold <= confidence.max()
        called = confidence >= threshold
        narrow = np.unique(confidence.astype(np.float32)).astype(np.float64)
        f1 = [2 * correct[confidence >= each].sum() / ((confidence >= each).sum() + 4) for each in (threshold, *narrow)]
        assert called.any()
        assert f1[0] == pytest.approx(max(f1))


def test_nothing_right_has_no_threshold() -> None:
    assert np.isnan(best_f1_threshold([0.5], np.array([False]), 3))
    assert np.isnan(best_f1_threshold([], np.zeros(0, bool), 0))
