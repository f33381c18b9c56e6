from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from raytl.metrics.confusion import (
    balanced_accuracy,
    cells_of,
    confusion_matrix,
    f1,
    macro_f1,
    matrix_of,
    precision,
    recall,
    tally,
)


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


def test_a_matrix_is_stored_as_its_cells_that_are_not_zero_and_read_back() -> None:
    matrix = np.array([[0, 2, 0], [0, 0, 0], [5, 0, 1]])
    stored = cells_of(matrix)
    assert stored == {"true": [0, 2, 2], "predicted": [1, 0, 2], "images": [2, 5, 1]}
    assert matrix_of(stored, 3).tolist() == matrix.tolist()
    assert matrix_of(matrix.tolist(), 3).tolist() == matrix.tolist()
    assert matrix_of(cells_of(np.zeros((2, 2), dtype=np.int64)), 2).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [[1, 2]],
        [[1, -1], [0, 0]],
        [[1, 2], [3]],
        {"true": [0], "predicted": [2], "images": [1]},
        {"true": [0], "predicted": [-1], "images": [1]},
        {"true": [0], "predicted": [1], "images": [1.5]},
        {"true": [0], "predicted": [1], "images": [10**30]},
        {"true": [0, 1], "predicted": [1], "images": [1]},
        {"true": "ab", "predicted": [1], "images": [1]},
    ],
)
def test_what_is_no_matrix_of_these_classes_is_refused(stored: object) -> None:
    with pytest.raises(ValueError, match="confusion matrix|inhomogeneous"):
        matrix_of(stored, 2)
