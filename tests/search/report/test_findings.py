"""Findings say no more than the trials support."""

from __future__ import annotations

from typing import Any

from raytl.search.record import TrialRecord
from raytl.search.report.findings import findings

METRIC = "val/accuracy"


def trial(number: int, score: float, **overrides: Any) -> TrialRecord:
    values = {key.replace("__", "."): value for key, value in overrides.items()}
    return TrialRecord(number, "complete", values, (score,))


def test_fewer_than_five_scores_are_too_few() -> None:
    assert findings([trial(0, 0.5)], METRIC, 5, {}, None) == ["Only 1 trial(s) have a score: too few for findings."]


def test_the_best_depth_is_compared_with_the_head_alone_and_the_noise() -> None:
    trials = [trial(n, 0.5 + n / 100, transfer__unfreeze=depth) for n, depth in enumerate([0, 1, 2, 3, "all"])]
    assert findings(trials, METRIC, 5, {}, 0.1) == [
        "The best trial unfreezes all 5 stages (val/accuracy 0.5400); training only the head is 0.0400 lower, within the noise "
        "over seeds (0.1000)."
    ]


def test_the_range_of_the_best_third_and_the_importances_are_named() -> None:
    trials = [trial(n, 0.5 + n / 100, optim__lr=0.001 * (n + 1)) for n in range(12)]
    assert findings(trials, METRIC, 5, {"optim.lr": 0.95, "augment.strength": 0.05}, None) == [
        "The best third of the trials has a median head learning rate of 0.0105 (range tried: 0.001 to 0.012).",
        "optim.lr mattered most (importance 95%, a rough guide from 12 trials).",
    ]


def test_what_hardly_mattered_is_named_only_if_many_trials_say_so() -> None:
    trials = [trial(n, 0.5 + n / 100) for n in range(30)]
    assert findings(trials, METRIC, 5, {"optim.lr": 0.95, "augment.strength": 0.05}, None) == [
        "optim.lr mattered most (importance 95%); augment.strength hardly mattered.",
    ]
