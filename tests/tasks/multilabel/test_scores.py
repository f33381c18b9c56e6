from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, log_loss

from raytl.tasks.multilabel.scores import NOTHING, confusion_of, metrics, probabilities


def test_scores_are_scikit_learns_on_fully_known_labels() -> None:
    rng = np.random.default_rng(0)
    table, vectors = rng.integers(1, 10, (50, 4)) / 10, (rng.random((50, 4)) < 0.3).astype(np.int8)
    present = table >= 0.5
    found = metrics(table, vectors, present)
    assert found["map"] == pytest.approx(average_precision_score(vectors, table))
    assert found["macro_f1"] == pytest.approx(f1_score(vectors, present, average="macro"))
    assert found["micro_f1"] == pytest.approx(f1_score(vectors, present, average="micro"))
    assert found["log_loss"] == pytest.approx(
        np.mean([log_loss(t, p) for t, p in zip(vectors.T, table.T, strict=True)])
    )


def test_unknown_labels_are_not_scored() -> None:
    table, vectors = np.array([[0.9], [0.2], [0.7]]), np.array([[1], [0], [-1]], dtype=np.int8)
    known = metrics(table[:2], vectors[:2], table[:2] >= 0.5)
    assert metrics(table, vectors, table >= 0.5) == known == {**known, "map": 1.0, "macro_f1": 1.0, "micro_f1": 1.0}


def test_a_label_without_a_present_image_is_left_out_of_the_mean() -> None:
    table, vectors = np.array([[0.9, 0.1], [0.2, 0.1]]), np.array([[1, 0], [0, 0]], dtype=np.int8)
    assert metrics(table, vectors, table >= 0.5)["map"] == 1.0


def test_probabilities_of_extreme_logits_are_finite() -> None:
    assert probabilities([-1000.0, 0.0, 1000.0]).tolist() == [0.0, 0.5, 1.0]


def test_hits_misses_and_false_alarms_are_counted_by_label() -> None:
    vectors = np.array([[1, 0], [1, -1], [0, 1]], dtype=np.int8)
    present = np.array([[1, 1], [0, 1], [1, 1]], dtype=bool)
    counted = confusion_of(present, vectors, ("a", "b"))
    assert counted.names == ("a", "b", NOTHING)
    assert counted.counts.tolist() == [[1, 0, 1], [0, 1, 0], [1, 1, 0]]
