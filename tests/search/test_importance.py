"""The importance of dimensions: from ten scores on, whether or not the trials ran to their end."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import FrozenTrial, create_trial

from raytl.search.importance import MIN_TRIALS, best_count, importances
from raytl.search.record import TrialRecord

SPACE: dict[str, BaseDistribution] = {
    "optim.lr": FloatDistribution(0, 1),
    "optim.weight_decay": FloatDistribution(0, 1),
}
DECAY: dict[str, BaseDistribution] = {"transfer.lr_decay": FloatDistribution(0, 1)}


def sweep(count: int, sign: float = 1.0) -> tuple[list[FrozenTrial], list[TrialRecord]]:
    """Trials whose score is their learning rate; every other one was stopped early, and has a decay that does nothing."""
    trials, records = [], []
    for n in range(count):
        params = {"optim.lr": n / count, "optim.weight_decay": (n * 7 % count) / count}
        more = {"transfer.lr_decay": (n * 3 % count) / count} if n % 2 else {}
        trial = create_trial(
            params=params | more, distributions=SPACE | (DECAY if more else {}), state=optuna.trial.TrialState.FAIL
        )
        trial.number = n
        trials.append(trial)
        records.append(TrialRecord(n, "pruned" if n % 2 else "complete", params | more, (sign * n,)))
    return trials, records


@pytest.mark.parametrize(("metric", "sign"), [("val/accuracy", 1.0), ("val/log_loss", -1.0)])
def test_ten_scores_are_enough_and_pruned_trials_count(metric: str, sign: float) -> None:
    weights = importances(*sweep(MIN_TRIALS, sign), metric)
    assert weights["optim.lr"] > weights["optim.weight_decay"]
    assert set(weights) == {"optim.lr", "optim.weight_decay", "transfer.lr_decay"}
    assert sum(weights.values()) == pytest.approx(1)


def test_nine_scores_or_equal_ones_say_nothing() -> None:
    assert importances(*sweep(MIN_TRIALS - 1), "val/accuracy") == {}
    assert importances(*sweep(20, 0.0), "val/accuracy") == {}


def test_a_trial_without_a_score_does_not_count() -> None:
    trials, records = sweep(MIN_TRIALS)
    records[3] = TrialRecord(3, "failed", {}, None)
    assert importances(trials, records, "val/accuracy") == {}


def test_what_decides_comes_first() -> None:
    assert next(iter(importances(*sweep(60), "val/accuracy"))) == "optim.lr"


@pytest.mark.parametrize(("scores", "best"), [(10, 5), (49, 5), (100, 10)])
def test_the_best_are_five_or_a_tenth(scores: int, best: int) -> None:
    assert best_count(scores) == best
