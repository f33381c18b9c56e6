from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from raytl.metrics.neighbors import NEIGHBORS, neighbor_classes, neighbor_probabilities

FOLD = np.arange(60) % 5


def _blobs(distance: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    classes = np.arange(3).repeat(20)
    return rng.normal(size=(60, 8)) + distance * np.eye(3, 8)[classes], classes


def test_separate_classes_are_recognized_and_noise_is_not() -> None:
    near, classes = _blobs(8.0)
    assert (neighbor_classes(near, classes, FOLD) == classes).all()
    noise, _ = _blobs(0.0)
    assert (neighbor_classes(noise, classes, FOLD) == classes).mean() < 0.6


def test_one_neighbor_answers_as_scikit_learn_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.metrics.neighbors.NEIGHBORS", (1,))
    features, classes = _blobs(1.0)
    expected = np.empty(60, dtype=np.int64)
    for fold in range(5):
        learn = fold != FOLD
        model = KNeighborsClassifier(1, metric="cosine").fit(features[learn], classes[learn])
        expected[~learn] = model.predict(features[~learn])
    assert neighbor_classes(features, classes, FOLD).tolist() == expected.tolist()


def test_lengths_of_features_do_not_count_and_an_image_is_not_its_own_neighbor() -> None:
    features, classes = _blobs(2.0)
    longer = features * np.linspace(0.1, 10, 60)[:, None]
    assert (neighbor_classes(longer, classes, FOLD) == neighbor_classes(features, classes, FOLD)).all()
    alone = np.eye(60)  # equally far from all others
    assert (neighbor_classes(alone, np.arange(60), FOLD) != np.arange(60)).all()


def test_more_neighbors_are_chosen_where_single_ones_are_noisy() -> None:
    features, classes = _blobs(8.0)
    given = classes.copy()
    given[::7] = (given[::7] + 1) % 3  # wrong labels
    assert (neighbor_classes(features, given, FOLD) == classes).mean() > 0.95


def test_fewer_images_than_neighbors_are_answered() -> None:
    answer = neighbor_classes([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]], [0, 0, 1, 1], [0, 1, 0, 1])
    assert answer.tolist() == [0, 0, 1, 1]
    assert max(NEIGHBORS) > 4


def test_the_fractions_of_the_nearest_other_images_have_half_a_vote_more() -> None:
    features = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [0.0, 1.0]])
    probabilities = neighbor_probabilities(features, [0, 0, 1, 1], range(4), count=2)
    np.testing.assert_allclose(probabilities[0], [1.5 / 3, 1.5 / 3])
    np.testing.assert_allclose(probabilities[3], [1.5 / 3, 1.5 / 3])
    assert neighbor_probabilities(features[:1], [0], [0]).tolist() == [[1.0]]
