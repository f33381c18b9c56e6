from __future__ import annotations

import numpy as np
import pytest

from raytl.advice.measure import accuracy_intervals, class_weights, compared, is_worse, measured
from tests.advice.conftest import CLASSES, blobs


def test_features_that_separate_the_classes_score_higher_by_every_measure() -> None:
    near, far = measured(blobs(1.0), CLASSES), measured(blobs(6.0), CLASSES)
    for name in ("log_evidence", "h_score"):
        assert getattr(far, name) > getattr(near, name)
    for name in ("probe", "neighbors"):
        assert getattr(far, name).value > getattr(near, name).value
        assert getattr(near, name).low < getattr(near, name).value < getattr(near, name).high
    assert near.probabilities.shape == (60, 3)
    assert near.probabilities.sum(axis=1) == pytest.approx(1.0)


def test_the_accuracy_counts_each_class_alike() -> None:
    classes = np.array([0] * 8 + [1] * 2)
    (only_first,) = accuracy_intervals(classes[None] == 0, classes)
    assert only_first.value == 0.5
    assert class_weights(classes).tolist() == [1 / 16] * 8 + [1 / 4] * 2


def test_a_clear_difference_is_worse_and_noise_is_not() -> None:
    good, other, same = (measured(blobs(*given), CLASSES) for given in ((6.0, 0), (1.0, 0), (6.0, 1)))
    assert is_worse(compared(CLASSES, other, good), 1)
    assert not is_worse(compared(CLASSES, same, good), 1)


def test_more_comparisons_need_more_evidence() -> None:
    gain = compared(CLASSES, measured(blobs(2.2), CLASSES), measured(blobs(6.0), CLASSES))
    assert is_worse(gain, 1)
    assert not is_worse(gain, 10_000)
