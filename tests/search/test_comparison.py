"""A finished sweep answers only for the experiment that it began with."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.config.dump import to_yaml
from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.config.space import DEFAULT
from raytl.config.stored import read_stored
from raytl.search.comparison import sweep_differences

SPACE = {
    "transfer.unfreeze": {"choice": [0, "all"]},
    "optim.lr": {"log": [1e-4, 1e-2], "when": "transfer.unfreeze > 0"},
}
BASE = override(
    Experiment(name="x", data="own/", model="m"), {"recipe": "none", "search.space": SPACE, "train.epochs": 8}
)


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    stored = read_stored(to_yaml(override(BASE, before)).encode(), "experiment.yaml")
    return sweep_differences(stored, override(BASE, after))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        ({}, {"optim.lr": 0.5, "transfer.unfreeze": 1}),
        ({}, {"search.trials": 3, "search.sampler": "random", "search.replicates.top": 1, "search.seed": 4}),
        ({}, {"storage.uri": "elsewhere", "compute.device": "cpu", "search.budget.wall": 5}),
        ({}, {"search.budget.max_epochs": 8}),
        ({}, {"search.metric": ["val/balanced_accuracy"]}),
        ({"search.space": None}, {"search.space": dict(DEFAULT)}),
        ({"search.space": dict(DEFAULT)}, {"search.space": None}),
    ],
)
def test_what_trials_do_not_have_in_common_may_change(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert changed(before, after) == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {"optim.schedule": "constant"}, ["optim.schedule: cosine -> constant"]),
        ({}, {"data.uri": "other/"}, ["data.uri: own/ -> other/"]),
        ({"search.folds": 3}, {}, ["search.folds: 3 -> -"]),
        ({}, {"search.image_scale": 0.5}, ["search.image_scale: 1.0 -> 0.5"]),
        ({}, {"search.linear_probe": False}, ["search.linear_probe: True -> False"]),
        ({}, {"search.budget.max_epochs": 4}, ["search.budget.max_epochs: 8 -> 4"]),
        (
            {},
            {"search.metric": ["val/accuracy", "cost/train_seconds"], "search.scheduler": "none"},
            ["search.metric: val/balanced_accuracy -> val/accuracy, cost/train_seconds"],
        ),
        (
            {},
            {"search.space": SPACE | {"optim.lr": {"log": [1e-4, 1e-3]}}},
            ["search.space.optim.lr.log.1: 0.01 -> 0.001", "search.space.optim.lr.when: transfer.unfreeze > 0 -> -"],
        ),
    ],
)
def test_what_all_trials_have_in_common_is_listed(
    before: dict[str, Any], after: dict[str, Any], expected: list[str]
) -> None:
    assert changed(before, after) == expected
