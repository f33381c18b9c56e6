from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from raytl.tasks.multilabel.scores import METRICS, NOTHING, confusion_of, metrics, probabilities


def test_scores_are_scikit_learns_with_a_threshold_a_label() -> None:
    rng = np.random.default_rng(0)
    table, vectors = rng.integers(1, 10, (50, 3)) / 10, (rng.random((50, 3)) < 0.3).astype(np.int8)
    thresholds = np.array([0.3, 0.5, 0.7])
    found = metrics(table, vectors, thresholds)
    assert tuple(found) == METRICS
    assert found["map"] == pytest.approx(average_precision_score(vectors, table))
    assert found["macro_f1"] == pytest.approx(f1_score(vectors, table >= thresholds, average="macro"))


def test_probabilities_of_extreme_logits_are_finite() -> None:
    assert probabilities([-1000.0, 0.0, 1000.0]).tolist() == [0.0, 0.5, 1.0]


def test_hits_misses_and_false_alarms_are_counted_by_label() -> None:
    vectors = np.array([[1, 0], [1, -1], [0, 1]], dtype=np.int8)
    present = np.array([[1, 1], [0, 1], [1, 1]], dtype=bool)
    counted = confusion_of(present, vectors, ("a", "b"))
    assert counted.names == ("a", "b", NOTHING)
    assert counted.counts.tolist() == [[1, 0, 1], [0, 1, 0], [1, 1, 0]]
