"""Holm's correction on a worked example, and its limits."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.metrics.multiple import holm


def test_the_correction_is_that_of_a_worked_example() -> None:
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_corrected_values_keep_the_order_and_are_at_most_one() -> None:
    values = np.random.default_rng(0).random(40)
    corrected = holm(values)
    assert (np.diff(corrected[np.argsort(values)]) >= 0).all()
    assert ((values <= corrected) & (corrected <= 1)).all()


def test_one_p_value_stays_and_none_is_fine() -> None:
    assert holm([0.02]).tolist() == [0.02]
    assert holm([]).tolist() == []


def test_an_undefined_p_value_is_not_counted() -> None:
    assert holm([0.01, float("nan"), 0.03]) == pytest.approx([0.02, float("nan"), 0.03], nan_ok=True)
