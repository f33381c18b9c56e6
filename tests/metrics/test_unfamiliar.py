from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from raytl.metrics.unfamiliar import auroc, balanced_rows, knn_distance, neighbors


def test_distances_are_those_of_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    images, reference = draw.normal(size=(40, 8)), draw.normal(size=(60, 8))
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (images, reference)]
    expected = NearestNeighbors(n_neighbors=5).fit(unit[1]).kneighbors(unit[0])[0][:, -1]
    np.testing.assert_allclose(knn_distance(images, reference, 5), expected, atol=1e-3)


def test_images_of_the_same_label_are_no_neighbors() -> None:
    images, reference = np.eye(2), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    own = (np.array([0, 1]), np.array([0, 1, 2]))
    np.testing.assert_allclose(knn_distance(images, reference, 1), [0, 0], atol=1e-3)
    np.testing.assert_allclose(knn_distance(images, reference, 1, own), [np.sqrt(2 - np.sqrt(2))] * 2, atol=1e-3)
    assert knn_distance(images, reference[:1], 1, (own[0], own[1][:1])).tolist() == pytest.approx([2.0, np.sqrt(2)])


def test_more_neighbors_than_images_are_the_last_one() -> None:
    assert knn_distance(np.eye(2), np.eye(2), 9).tolist() == pytest.approx([np.sqrt(2)] * 2)


def test_the_auroc_is_that_of_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    inside, outside = draw.integers(0, 9, 30) / 1.0, draw.integers(3, 12, 20) / 1.0
    assert auroc(inside, outside) == pytest.approx(roc_auc_score([0] * 30 + [1] * 20, [*inside, *outside]))


def test_k_follows_the_size_of_the_reference() -> None:
    assert [neighbors(n) for n in (1, 120, 1760, 10**6)] == [1, 2, 35, 50]


def test_a_bounded_reference_has_as_many_images_of_each_class_as_there_are() -> None:
    targets = np.repeat([0, 1, 2], [100, 3, 50])
    rows = balanced_rows(targets, 21)
    assert np.bincount(targets[rows]).tolist() == [9, 3, 9]
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert balanced_rows(targets, 21, seed=1).tolist() != rows.tolist()
    assert balanced_rows(targets, 153).tolist() == list(range(153))
