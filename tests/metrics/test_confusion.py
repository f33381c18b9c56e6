from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from raytl.metrics.confusion import balanced_accuracy, confusion_matrix, f1, macro_f1, precision, recall, tally


def _random(classes: int, n: int, seed: int, present: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, present, n), rng.integers(0, classes, n)


@pytest.mark.parametrize(("classes", "n", "present"), [(2, 20, 2), (3, 21, 2), (7, 50, 7), (12, 15, 6), (1, 4, 1)])
def test_the_matrix_and_what_is_read_from_it_equal_scikit_learn(classes: int, n: int, present: int) -> None:
    targets, predicted = _random(classes, n, classes, present)
    matrix = confusion_matrix(targets, predicted, classes)
    counts = tally(matrix)
    labels = list(range(classes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert matrix.tolist() == sk.confusion_matrix(targets, predicted, labels=labels).tolist()
        p, r, f, s = sk.precision_recall_fscore_support(targets, predicted, labels=labels, zero_division=0)
        np.testing.assert_allclose(np.nan_to_num(precision(counts)), p)
        np.testing.assert_allclose(np.nan_to_num(recall(counts)), r)
        np.testing.assert_allclose(np.nan_to_num(f1(counts)), f)
        assert counts.support.tolist() == s.tolist()
        assert balanced_accuracy(counts) == pytest.approx(sk.balanced_accuracy_score(targets, predicted))
        assert macro_f1(counts) == pytest.approx(sk.f1_score(targets, predicted, average="macro"))


def test_a_class_that_does_not_occur_has_no_recall_and_one_never_called_no_precision() -> None:
    counts = tally(confusion_matrix(np.array([0, 0, 1]), np.array([0, 2, 0]), 4))
    assert np.isnan(recall(counts)).tolist() == [False, False, True, True]
    assert np.isnan(precision(counts)).tolist() == [False, True, False, True]
    assert np.isnan(f1(counts)).tolist() == [False, False, False, True]
