"""Labels spread over a graph of neighbours, as scikit-learn spreads them."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.labelling import propagate
from raytl.labelling.propagate import ALPHA, balanced, neighbour_graph, propagated, solution
from tests.labelling.blobs import blobs


def test_the_solution_is_that_of_scikit_learn() -> None:
    from sklearn.semi_supervised import LabelSpreading

    features, classes = blobs(20, count=3, spread=1.5)
    known = np.arange(len(classes)) % 7 == 0
    graph = neighbour_graph(features, 6)
    oracle = LabelSpreading(kernel=lambda *_: graph.toarray(), alpha=0.8, max_iter=5000, tol=1e-14)
    oracle.fit(features, np.where(known, classes, -1))
    seeds = np.eye(3)[classes] * known[:, None]
    scores = solution(graph, seeds, 0.8)
    assert np.allclose(scores / scores.sum(axis=1, keepdims=True), oracle.label_distributions_, atol=1e-6)


def test_the_solution_solves_its_equation() -> None:
    features, classes = blobs(30, count=2, spread=2.0)
    graph = neighbour_graph(features, 5)
    seeds = np.eye(2)[classes]
    degree = np.asarray(graph.sum(axis=1)).ravel()
    normalized = graph.toarray() / np.sqrt(np.outer(degree, degree))
    expected = np.linalg.solve(np.eye(len(seeds)) - ALPHA * normalized, (1 - ALPHA) * seeds)
    assert np.allclose(solution(graph, seeds, ALPHA), expected, atol=1e-6)


def test_each_image_is_joined_with_its_nearest_ones_and_not_itself() -> None:
    features, _ = blobs(15, count=2, spread=1.0)
    graph = neighbour_graph(features, 4).toarray()
    assert (np.diag(graph) == 0).all()
    assert np.array_equal(graph, graph.T)
    unit = features - features.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    for row in range(len(graph)):
        assert (graph[row, np.argsort(-similarity[row])[:4]] > 0).all()


def test_two_labels_a_class_label_separate_clusters() -> None:
    features, classes = blobs(50, count=4, spread=0.5)
    known = np.concatenate([np.flatnonzero(classes == name)[:2] for name in range(4)])
    rest = np.setdiff1d(np.arange(len(classes)), known)
    answers = propagated(features[np.concatenate([known, rest])], classes[known], 4)
    assert (answers.argmax(axis=1) == classes[rest]).mean() > 0.95
    assert np.allclose(answers.sum(axis=1), 1)


def test_classes_have_their_share_of_the_mass() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.0, 0.0]])
    answers = balanced(scores, np.array([0.5, 0.5]))
    assert np.allclose(answers.sum(axis=1), 1)
    assert answers[2].argmax() == 1, "the first class attracted too many"
    assert answers[3].tolist() == [0.5, 0.5]


def test_blocks_fit_in_memory_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 100 < propagate.rows_at_once(100_000) < 500
    assert propagate.rows_at_once(10**9) == 1 and propagate.rows_at_once(1) == 2048
    features, _ = blobs(15, count=2, spread=1.0)
    whole = neighbour_graph(features, 4).toarray()
    monkeypatch.setattr(propagate, "rows_at_once", lambda n: 7)
    assert np.allclose(neighbour_graph(features, 4).toarray(), whole, atol=1e-5)


@pytest.mark.parametrize("n", [2, 3])
def test_fewer_images_than_neighbours(n: int) -> None:
    features = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    assert propagated(features, np.array([0]), 2).shape == (n - 1, 2)
