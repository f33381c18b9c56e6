from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torchmetrics.functional.classification import multiclass_calibration_error

from raytl.metrics.scores import facts, measure, scores, softmax, top_k_for


def _sample(n: int = 300, classes: int = 7, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[targets]
    return targets, logits.astype(np.float32)


def _all(targets: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    measured = measure(facts(targets, probabilities), np.arange(len(targets))[None])
    return {name: float(values[0]) for name, values in measured.items() if values.ndim == 1}


def test_every_score_equals_scikit_learn_or_torchmetrics() -> None:
    targets, logits = _sample()
    table = softmax(logits)
    scored = _all(targets, table)
    assert scored["accuracy"] == pytest.approx(sk.accuracy_score(targets, table.argmax(1)))
    assert scored["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(targets, table.argmax(1)))
    assert scored["macro_f1"] == pytest.approx(sk.f1_score(targets, table.argmax(1), average="macro"))
    assert scored["log_loss"] == pytest.approx(sk.log_loss(targets, table, labels=range(7)))
    assert scored["top_5_accuracy"] == pytest.approx(sk.top_k_accuracy_score(targets, table, k=5))
    theirs = multiclass_calibration_error(torch.tensor(table), torch.tensor(targets), 7, n_bins=15, norm="l1")
    assert scored["ece"] == pytest.approx(float(theirs), abs=1e-6)


def test_the_quick_scores_are_the_same_numbers() -> None:
    targets, logits = _sample()
    quick = scores(targets, logits)
    assert list(quick) == ["accuracy", "balanced_accuracy", "macro_f1", "log_loss"]
    whole = _all(targets, softmax(logits))
    assert quick == {name: whole[name] for name in quick}


def test_a_resample_is_scored_as_a_set_of_its_own() -> None:
    targets, logits = _sample(n=40, classes=4)
    draws = np.random.default_rng(1).integers(0, 40, size=(3, 40))
    together = measure(facts(targets, softmax(logits)), draws)
    for row, draw in enumerate(draws):
        alone = _all(targets[draw], softmax(logits[draw]))
        assert {name: pytest.approx(together[name][row]) for name in alone} == alone


def test_a_perfect_and_sure_classifier_scores_perfectly() -> None:
    scored = _all(np.array([0, 1, 2]), np.eye(3))
    assert scored == {
        "accuracy": 1, "balanced_accuracy": 1, "macro_f1": 1, "log_loss": 0, "ece": 0, "top_2_accuracy": 1,
    }  # fmt: skip


def test_a_sure_mistake_costs_a_finite_loss() -> None:
    assert _all(np.array([1]), np.array([[1.0, 0.0]]))["log_loss"] == pytest.approx(36.04, abs=0.01)


def test_ties_go_to_the_lower_class_in_the_prediction_and_in_the_rank() -> None:
    sample_facts = facts(np.array([1, 0]), np.full((2, 4), 0.25))
    assert sample_facts.predicted.tolist() == [0, 0]
    assert sample_facts.rank.tolist() == [1, 0]


def test_softmax_does_not_overflow() -> None:
    assert softmax(np.array([[1e4, 0.0], [-1e4, -1e4]], dtype=np.float32)).tolist() == [[1.0, 0.0], [0.5, 0.5]]


@pytest.mark.parametrize(("classes", "k"), [(1, 0), (2, 0), (3, 2), (5, 4), (6, 5), (100, 5)])
def test_top_k_is_told_only_where_it_says_something(classes: int, k: int) -> None:
    assert top_k_for(classes) == k


def test_one_class_can_be_scored() -> None:
    assert _all(np.array([0, 0]), np.ones((2, 1)))["balanced_accuracy"] == 1


@pytest.mark.parametrize(
    ("targets", "shape", "said"), [([], (0, 3), "no samples"), ([3], (1, 3), "outside"), ([0, 1], (1, 3), "targets")]
)
def test_rows_that_do_not_fit_are_refused(targets: list[int], shape: tuple[int, int], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        facts(np.array(targets, dtype=np.int64), np.ones(shape))
