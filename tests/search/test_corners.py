"""A space whose trials contradict each other is refused before the sweep starts."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.config.space import space_of
from raytl.errors import ConfigError
from raytl.search.corners import check_corners, corners, depth_fault

BASE = {"name": "a", "data": {"uri": "x", "unlabelled": "y"}, "model": {"name": "m"}, "adapt": {"target": "z"}}
METHOD = {"adapt.method": {"choice": ["none", "coral"]}}


def checked(space: dict[str, Any]) -> None:
    adapt = {} if "adapt.method" in space else {"adapt": {}}
    experiment = override(Experiment.model_validate({**BASE, **adapt}), {"search.space": space})
    check_corners(experiment, space_of(experiment).resolved(4))


@pytest.mark.parametrize(
    ("space", "drawn"),
    [
        ({**METHOD, "transfer.unfreeze": {"int": [0, "all"]}}, "adapt.method coral, transfer.unfreeze 0"),
        ({**METHOD, "transfer.unfreeze": {"choice": [1, 0, "all"]}}, "adapt.method coral, transfer.unfreeze 0"),
        (
            {"few.method": {"choice": ["fixmatch", "none"]}, "train.compile": {"choice": [False, True]}},
            "few.method fixmatch, train.compile True",
        ),
        (
            {"train.loss": {"choice": ["elr", "cross_entropy"]}, "augment.mixup": {"float": [0.0, 0.4]}},
            "train.loss elr, augment.mixup 0.4",
        ),
    ],
)
def test_values_that_contradict_each_other_are_named(space: dict[str, Any], drawn: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)a trial may draw {drawn}, which contradict .*Take such a value out"):
        checked(space)


@pytest.mark.parametrize(
    "space",
    [
        {**METHOD, "transfer.unfreeze": {"int": [1, "all"]}},
        {**METHOD, "transfer.unfreeze": {"int": [0, "all"], "when": "adapt.method == none"}},
        {
            "adapt.method": {"choice": ["none", "coral"], "when": "transfer.unfreeze > 0"},
            "transfer.unfreeze": {"int": [0, "all"]},
        },
    ],
)
def test_values_that_are_never_drawn_together_are_no_contradiction(space: dict[str, Any]) -> None:
    checked(space)


def test_the_ends_of_other_keys_come_with_every_combination_of_methods() -> None:
    space = {**METHOD, "optim.lr": {"log": [0.001, 0.1]}, "transfer.unfreeze": {"int": [1, "all"]}}
    experiment = override(Experiment.model_validate(BASE), {"search.space": space})
    found = list(corners(space_of(experiment).resolved(4)))
    assert len(found) == 8
    assert {(each["adapt.method"], each["transfer.unfreeze"], each["optim.lr"]) for each in found} >= {
        ("coral", 1, 0.1),
        ("none", 4, 0.001),
    }


def test_values_that_rules_take_alike_come_once_beside_the_combinations() -> None:
    space = {
        "auxiliary.weight": {"choice": [0, 0.1, 0.3, "uncertainty"]},
        "auxiliary.rotation": {"choice": [0, 0.1, 0.2]},
        "train.loss": {"choice": ["cross_entropy", "gce", "elr"]},
    }
    experiment = override(Experiment.model_validate({**BASE, "adapt": {}}), {"search.space": space})
    found = list(corners(space_of(experiment)))
    assert len(found) == 3 * 2 * 2 + 3
    for key, values in space.items():
        assert {each[key] for each in found} == {*values["choice"]}
    assert {"auxiliary.weight": "uncertainty", "auxiliary.rotation": 0.1, "train.loss": "elr"} in found


@pytest.mark.parametrize(
    ("depth", "fault"),
    [
        ({"int": [0, "all"]}, ""),
        ({"choice": [0, 5, "all"]}, ""),
        ({"choice": ["all"]}, ""),
        ({"int": [0, 12]}, "found 12, and the network has 5 stages"),
        ({"int": [6, "all"]}, "found 6, and the network has 5 stages"),
        ({"choice": [0, 6]}, "found 6, and the network has 5 stages"),
    ],
)
def test_a_depth_that_the_network_lacks_is_a_fault(depth: dict[str, Any], fault: str) -> None:
    search = {"space": {"transfer.unfreeze": depth, "optim.lr": {"log": [1e-4, 1e-2]}}}
    experiment = Experiment(name="x", data="own.csv", model="m", search=search)
    text = depth_fault(space_of(experiment).resolved(5), 5)
    assert fault in text and bool(text) is bool(fault)


def test_a_depth_of_a_space_that_varies_the_network_is_not_judged() -> None:
    space = {"transfer.unfreeze": {"int": [0, 12]}, "model.name": {"choice": ["m", "n"]}}
    assert depth_fault(space_of(Experiment(name="x", data="own.csv", model="m", search={"space": space})), 5) == ""
