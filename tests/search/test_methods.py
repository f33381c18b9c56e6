"""Trials with fewer methods: counted, and compared with those that have more."""

from __future__ import annotations

from functools import reduce
from typing import Any

import pytest

from raytl.config.schema import Experiment
from raytl.search.methods import METHODS, methods_of, with_simplest
from raytl.search.record import TrialRecord


def trial(number: int, few: str, noise: str = "none") -> TrialRecord:
    return TrialRecord(number, "complete", {"few.method": few, "labels.noise": noise, "optim.lr": 0.1}, (0.5,))


@pytest.mark.parametrize(
    ("overrides", "methods"),
    [
        ({}, ()),
        ({"few.method": "none", "adapt.style.probability": 0.0, "train.loss": "focal", "labels.noise": "rank"}, ()),
        ({"few.method": "pseudo", "train.loss": "elr"}, ("few.method", "train.loss")),
        ({"train.loss": "small_loss"}, ("train.loss",)),
        (
            {"auxiliary.weight": "uncertainty", "data.synthetic.share": 0.3},
            ("data.synthetic.share", "auxiliary.weight"),
        ),
        ({"labels.noise": "leave_out"}, ("labels.noise",)),
    ],
)
def test_methods_are_counted_by_what_their_keys_say(overrides: dict[str, Any], methods: tuple[str, ...]) -> None:
    assert methods_of(overrides) == methods


@pytest.mark.parametrize(
    ("few", "expected"),
    [
        (("pseudo", "propagate", "none", "none"), [0, 1, 2]),
        (("pseudo", "none", "pseudo", "none"), [0, 1]),
        (("pseudo", "propagate", "pseudo"), [0, 1]),
        ((), []),
    ],
)
def test_the_best_trial_with_the_fewest_methods_is_always_compared(few: tuple[str, ...], expected: list[int]) -> None:
    ranked = [trial(number, method) for number, method in enumerate(few)]
    assert [each.number for each in with_simplest(ranked, 2)] == expected


def test_they_are_keys_of_the_experiment() -> None:
    experiment = Experiment.model_validate({"name": "x", "data": {"uri": "d"}, "model": {"name": "m"}})
    for key in METHODS:
        reduce(getattr, key.split("."), experiment)
