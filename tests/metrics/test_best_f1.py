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


def test_nothing_right_has_no_threshold() -> None:
    assert np.isnan(best_f1_threshold([0.5], np.array([False]), 3))
    assert np.isnan(best_f1_threshold([], np.zeros(0, bool), 0))
