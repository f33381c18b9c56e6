"""The search space: what may vary, what is refused, and which conditions hold."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.config import space as spaces
from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.config.space import space_of, word_faults
from raytl.errors import ConfigError

BASE = Experiment.model_validate({"name": "x", "data": {"uri": "photos"}, "model": {"name": "resnet18"}})


def with_space(space: dict[str, Any]) -> Experiment:
    return BASE.model_copy(update={"search": BASE.search.model_copy(update={"space": space})})


def test_without_a_space_depth_rates_decay_and_augmentation_vary() -> None:
    keys = [dimension.key for dimension in space_of(BASE).dimensions]
    assert keys == list(spaces.DEFAULT)


def test_all_becomes_the_number_of_stages() -> None:
    depth = space_of(BASE).resolved(7).dimensions[0]
    assert (depth.low, depth.high) == (0, 7)


def test_backbone_rates_are_not_there_when_only_the_head_learns() -> None:
    space = space_of(BASE).resolved(5)
    assert "transfer.lr_decay" in [d.key for d in space.active({"transfer.unfreeze": 2}, {})]
    assert "transfer.lr_decay" not in [d.key for d in space.active({"transfer.unfreeze": 1}, {})]
    assert "transfer.head_lr_ratio" not in [d.key for d in space.active({"transfer.unfreeze": 0}, {})]


def test_a_condition_may_speak_of_a_key_that_is_fixed() -> None:
    space = space_of(with_space({"optim.momentum": {"float": [0.1, 0.9], "when": "optim.name == sgd"}}))
    assert [d.key for d in space.active({}, {"optim.name": "sgd"})] == ["optim.momentum"]
    assert not list(space.active({}, {"optim.name": "adamw"}))


def test_dimensions_come_after_what_their_conditions_speak_of() -> None:
    space = space_of(
        with_space(
            {
                "transfer.lr_decay": {"float": [0.3, 1.0], "when": "transfer.unfreeze > 1"},
                "transfer.unfreeze": {"int": [0, "all"]},
            }
        )
    )
    assert [d.key for d in space.dimensions] == ["transfer.unfreeze", "transfer.lr_decay"]


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ({"optim.learning": {"log": [1e-4, 1e-2]}}, "is not a key of an experiment"),
        ({"optim.lr": {"log": [1e-2, 1e-4]}}, "is empty"),
        ({"optim.lr": {"log": [0, 1e-2]}}, "more than 0"),
        ({"optim.lr": {"log": [1e-4]}}, r"expected \[low, high\]"),
        ({"optim.lr": {"uniform": [0, 1]}}, "expected one of int, float, log, choice"),
        ({"optim.lr": {"log": ["a", 1]}}, "expected a number"),
        ({"augment.strength": {"choice": []}}, "one value or more"),
        ({"augment.strength": {"choice": [1, 1]}}, "lists a value twice"),
        ({"model.weights": {"float": [0, 1]}}, "use int or choice"),
        ({"train.epochs": {"int": [1, 4]}}, "cannot vary it"),
        ({"train.batch_size": {"int": [1.5, 4]}}, "whole numbers"),
        ({"transfer.lr_decay": {"float": [0.3, 1], "when": "depth"}}, "expected a comparison"),
        ({"transfer.lr_decay": {"float": [0.3, 1], "when": "transfer.unfreez > 1"}}, "did you mean transfer.unfreeze"),
        (
            {"transfer.lr_decay": {"float": [0.3, 1], "when": "transfer != null"}},
            "transfer is not a key of an experiment",
        ),
    ],
)
def test_a_wrong_space_is_reported(space: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        space_of(with_space(space))


def test_conditions_in_a_circle_are_refused() -> None:
    space = {
        "optim.lr": {"log": [1e-4, 1e-2], "when": "augment.strength > 0"},
        "augment.strength": {"float": [0, 1], "when": "optim.lr > 0"},
    }
    with pytest.raises(ConfigError, match="are circular"):
        space_of(with_space(space))


def test_a_wrong_space_is_a_problem_of_the_file() -> None:
    with pytest.raises(ConfigError, match=r"search\.space: optim\.lr: log: .* is empty"):
        override(BASE, {"search.space": {"optim.lr": {"log": [1.0, 0.1]}}})


def test_several_objectives_leave_no_order_to_prune_by() -> None:
    with pytest.raises(ConfigError, match="2 objectives"):
        override(BASE, {"search.metric": ["val/accuracy", "cost/train_seconds"]})


@pytest.mark.parametrize(
    ("condition", "value", "holds"),
    [
        ("> 0", "uncertainty", False), ("<= 0", "uncertainty", False), ("== 0.3", "uncertainty", False),
        ("!= 0.3", "uncertainty", True), ("== uncertainty", "uncertainty", True), ("> 0", 0.3, True), ("> 3", "all", True),
        ("> 0", None, False),
    ],
)  # fmt: skip
def test_a_word_is_neither_less_nor_more_than_a_number(condition: str, value: Any, holds: bool) -> None:
    given = {"auxiliary.rotation": {"float": [0.0, 1.0], "when": f"auxiliary.weight {condition}"}}
    when = space_of(with_space(given)).dimensions[0].when
    assert when is not None and when.holds(value) is holds


@pytest.mark.parametrize(
    ("condition", "value", "holds"),
    [
        ("== true", True, True), ("== true", False, False), ("!= false", True, True), ("!= false", False, False),
        ("== True", True, True), ("== yes", True, True), ("== off", False, True), ("== true", None, False),
        ("== false", "auto", False), ("!= true", "auto", True), ("== null", None, True), ("!= null", None, False),
        ("!= null", 0.99, True), ("== None", None, True), ("== none", None, False), ("== null", False, False), ("== true", 1, False),
    ],
)  # fmt: skip
def test_a_condition_reads_true_false_and_null_as_the_file_does(condition: str, value: Any, holds: bool) -> None:
    space = space_of(with_space({"optim.lr": {"log": [1e-4, 1e-2], "when": f"train.channels_last {condition}"}}))
    assert bool([*space.active({}, {"train.channels_last": value})]) is holds
    assert space.record() == {"optim.lr": f"log: 0.0001 to 0.01 (log), when train.channels_last {condition}"}


def test_a_sweep_in_which_a_negated_switch_held_for_every_value_still_opens() -> None:
    space = space_of(with_space({"optim.lr": {"log": [1e-4, 1e-2], "when": "transfer.gradual != false"}}))
    assert space.fault({"optim.lr": 1e-3}, {"transfer.gradual": False}) == ""


@pytest.mark.parametrize(
    ("condition", "others", "expected"),
    [
        ("train.sampler == balancd", {}, "train.sampler is never balancd; expected shuffle or balanced"),
        ("train.sampler != Balanced", {}, "train.sampler is never Balanced; expected shuffle or balanced"),
        ("train.channels_last == on", {}, ""),
        ("train.channels_last == none", {}, "train.channels_last is never none; expected true or false, or auto"),
        ("optim.ema == none", {}, "optim.ema is never none; expected a number above 0 and below 1, or null"),
        ("optim.ema != null", {}, ""),
        ("transfer.unfreeze == all", {}, ""),
        ("model.name == any_network", {}, ""),
        ("train.sampler > 1", {}, ""),
        (
            "optim.name == sgd",
            {"optim.name": {"choice": ["adamw", "lion"]}},
            "optim.name is never sgd; expected adamw | lion",
        ),
        ("optim.name == lion", {"optim.name": {"choice": ["adamw", "lion"]}}, ""),
        (
            "transfer.unfreeze == all",
            {"transfer.unfreeze": {"int": [0, "all"]}},
            "transfer.unfreeze is never all; expected a comparison with a number, as the space gives it numbers",
        ),
    ],
)
def test_a_word_that_a_key_never_has_is_a_fault(condition: str, others: dict[str, Any], expected: str) -> None:
    faults = word_faults(with_space({**others, "optim.lr": {"log": [1e-4, 1e-2], "when": condition}}))
    assert [*faults] == ([f"search.space: optim.lr: when: {condition}: {expected}"] if expected else [])
