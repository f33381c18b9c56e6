"""Which options which task applies, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.errors import ConfigError
from raytl.tasks.options import RULES, Rule, check

ALL, ONE_CLASS, IMAGES = set(RULES), {"classification"}, {"classification", "multilabel"}
TABLE: list[tuple[str, Any, set[str]]] = [
    ("train.loss", "cross_entropy", ALL),
    ("train.loss", "focal", IMAGES),
    ("train.loss", "asymmetric", {"multilabel"}),
    ("train.loss", "gce", ONE_CLASS),
    ("train.loss", "elr", ONE_CLASS),
    ("train.loss", "small_loss", ONE_CLASS),
    ("auxiliary.columns", ["camera"], IMAGES),
    ("auxiliary.rotation", 0.1, IMAGES),
    ("labels.noise", "leave_out", ONE_CLASS),
    ("labels.relabel", "fixes.csv", ONE_CLASS),
    ("labels.columns", ["a", "b"], ONE_CLASS),
    ("few.method", "propagate", ONE_CLASS),
    ("adapt.method", "centroids", ONE_CLASS),
    ("adapt.method", "dann", IMAGES),
    ("adapt.method", "adabn", IMAGES),
    ("adapt.method", "tent", ONE_CLASS),
    ("warmup.method", "simclr", IMAGES),
    ("warmup.method", "supcon", ONE_CLASS),
    ("train.label_smoothing", 0.1, IMAGES),
    ("train.class_weights", "balanced", IMAGES),
    ("train.class_weights", {"a": 2.0}, IMAGES),
    ("train.sampler", "balanced", ONE_CLASS),
    ("augment.mixup", 0.2, ONE_CLASS),
    ("augment.cutmix", 1.0, ONE_CLASS),
    ("train.compile", True, IMAGES),
    ("augment.erasing", 0.5, ALL),
    ("transfer.head_start", "solved", IMAGES),
    ("transfer.head_start", "weights", ALL),
    ("search.linear_probe", True, IMAGES),
    ("search.linear_probe", False, ALL),
]
"""The tasks that apply each value."""


def experiment(task: str, changes: dict[str, Any]) -> Experiment:
    base = Experiment.model_validate(
        {"name": "e", "task": task, "data": {"uri": "d.csv", "unlabelled": "u"}, "model": {"name": "m"}}
    )
    beside = {"adapt.target": "t"} if "adapt.method" in changes else {}
    changes = {"model.weights": "runs/before/", **beside, **changes}
    return override(base, {"search.linear_probe": False, **changes})


@pytest.mark.parametrize("task", RULES)
def test_a_task_rejects_exactly_the_options_that_it_cannot_apply(task: str) -> None:
    for key, value, applied_by in TABLE:
        wanted = experiment(task, {key: value})
        if task in applied_by:
            check(wanted, RULES[task])
            continue
        with pytest.raises(ConfigError, match=rf"^{key}: found .*; {task} expects "):
            check(wanted, RULES[task])


def test_every_rule_is_in_the_table() -> None:
    assert {rule.key for rules in RULES.values() for rule in rules} <= {key for key, _, _ in TABLE}


def test_all_problems_are_reported_at_once_with_what_to_do() -> None:
    wanted = experiment("multilabel", {"train.sampler": "balanced", "augment.mixup": 0.2})
    with pytest.raises(ConfigError, match="found") as caught:
        check(wanted, RULES["multilabel"])
    assert str(caught.value).splitlines() == [
        "train.sampler: found 'balanced'; multilabel expects shuffle. It needs one class an image; set train.class_weights "
        "to balanced instead.",
        "augment.mixup: found 0.2; multilabel expects 0. It needs one class an image: a mixed image has the labels of both; "
        "set it to 0.",
    ]


@pytest.mark.parametrize(
    ("space", "found"),
    [
        ({"train.loss": {"choice": ["focal", "asymmetric"]}}, "search.space: train.loss: found 'asymmetric'; "),
        ({"augment.mixup": {"float": [0.0, 0.4]}}, None),
    ],
)
def test_searched_values_are_checked_too(space: dict[str, Any], found: str | None) -> None:
    wanted = experiment("classification", {"search.space": space})
    if found is None:
        check(wanted, RULES["classification"])
    else:
        with pytest.raises(ConfigError, match=found):
            check(wanted, RULES["classification"])


def test_a_range_of_an_option_that_must_be_off_is_rejected() -> None:
    wanted = experiment("detection", {"search.space": {"augment.mixup": {"float": [0.0, 0.4]}}})
    with pytest.raises(ConfigError, match=r"search.space: augment.mixup: found 0 to 0.4; detection expects 0"):
        check(wanted, RULES["detection"])


def test_true_is_not_one_and_false_is_not_zero() -> None:
    assert not Rule("k", (0,), "").accepts(False) and Rule("k", (0,), "").accepts(0.0)
