"""What a step of several sources cannot apply, and keys that only such a step uses."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.config.override import override
from raytl.config.rules import conflicts, idle
from raytl.config.schema import Experiment
from raytl.config.space import read
from raytl.errors import ConfigError

BASE = {"name": "a", "data": {"uri": "x", "unlabelled": "y"}, "model": {"name": "m"}}


def experiment(**changes: Any) -> Experiment:
    target = {"adapt.target": "z"} if "adapt__method" in changes else {}
    return override(
        Experiment.model_validate(BASE), {key.replace("__", "."): value for key, value in changes.items()} | target
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"few__method": "fixmatch"}, []),
        ({"few__method": "fixmatch", "train__compile": True}, ["train.compile"]),
        ({"adapt__method": "coral", "train__compile": True}, ["train.compile"]),
        ({"adapt__method": "dann", "transfer__unfreeze": 0}, ["adapt.method"]),
        ({"few__method": "fixmatch", "transfer__unfreeze": 0}, []),
        ({"few__method": "fixmatch", "data__unlabelled": None}, ["few.method"]),
        ({"data__synthetic__uri": "made", "data__synthetic__share": 0.5}, []),
        ({"data__synthetic__uri": "made", "data__synthetic__share": 0.001}, ["data.synthetic.share"]),
        ({"data__synthetic__uri": "made", "data__synthetic__share": 0.999}, ["data.synthetic.share"]),
        ({"data__synthetic__uri": "made", "data__synthetic__share": 0}, []),
        ({"adapt__method": "adabn", "transfer__unfreeze": 0, "train__compile": True}, []),
        ({"adapt__method": "tent", "search__folds": 3}, []),
        ({"adapt__method": "adabn", "adapt__target": None}, ["adapt.method"]),
        ({"adapt__style__probability": 0.5}, []),
        ({"adapt__style__probability": 0.5, "adapt__target": None}, ["adapt.style.probability"]),
        (
            {"search__space": {"adapt.style.probability": {"choice": [0, 0.5]}}, "adapt__target": None},
            ["adapt.style.probability"],
        ),
        ({"search__space": {"adapt.method": {"choice": ["none", "adabn", "tent"]}}}, ["search.space"]),
    ],
)
def test_contradictions(changes: dict[str, Any], expected: list[str]) -> None:
    raw = Experiment.model_validate({**BASE, "adapt": {"target": "z"}}).model_dump()
    for key, value in changes.items():
        *path, last = key.split("__")
        section = raw
        for name in path:
            section = section[name]
        section[last] = value
    assert [conflict.keys[0] for conflict in conflicts(Experiment.model_validate(raw))] == expected


def test_keys_of_a_method_are_idle_without_it() -> None:
    keys = {one.key for one in idle(experiment())}
    assert {"few.fixmatch.ratio", "few.fixmatch.threshold", "few.fixmatch.weight", "adapt.weight"} <= keys
    assert "data.synthetic.share" in keys
    used = {one.key for one in idle(experiment(few__method="fixmatch", adapt__method="mmd", data__synthetic__uri="m"))}
    assert not used & (keys & {"few.fixmatch.ratio", "adapt.weight", "data.synthetic.share"})


@pytest.mark.parametrize(
    ("changes", "used"),
    [
        ({}, set()),
        ({"adapt.method": "adabn"}, {"adapt.target", "adapt.alpha"}),
        ({"adapt.method": "tent"}, {"adapt.target", "adapt.alpha", "adapt.tent.lr", "adapt.tent.passes"}),
        ({"adapt.style.probability": 0.5}, {"adapt.target", "adapt.style.beta"}),
        ({"search.space": {"adapt.style.probability": {"choice": [0, 0.5]}}}, {"adapt.target", "adapt.style.beta"}),
    ],
)
def test_keys_of_the_section_adapt_are_idle_unless_something_uses_them(changes: dict[str, Any], used: set[str]) -> None:
    given = override(Experiment.model_validate(BASE), changes | ({"adapt.target": "z"} if changes else {}))
    keys = {"adapt.target", "adapt.alpha", "adapt.tent.lr", "adapt.tent.passes", "adapt.style.beta"}
    assert keys - {one.key for one in idle(given)} == used


def test_a_trial_may_draw_a_style_or_none() -> None:
    space = {"adapt.style.probability": {"choice": [0, 0.5]}, "adapt.style.beta": {"float": [0.01, 0.1]}}
    base = override(Experiment.model_validate(BASE), {"adapt.target": "z", "search.space": space})
    for probability in (0, 0.5):
        drawn = override(base, {"adapt.style.probability": probability, "adapt.style.beta": 0.02})
        assert (drawn.adapt.target, drawn.adapt.style.beta) == ("z", 0.02)


def test_trials_are_not_scored_before_a_method_after_training() -> None:
    space = {"adapt.method": {"choice": ["none", "coral", "tent"]}}
    with pytest.raises(
        ConfigError,
        match=r"(?s)found tent among the choices of adapt.method: .*leave out tent; with adapt.method: tent",
    ):
        override(Experiment.model_validate(BASE), {"adapt.target": "z", "search.space": space})
    with pytest.raises(ConfigError, match="adapt.tent.lr: this key is the same for all trials"):
        experiment(adapt__method="tent", search__space={"adapt.tent.lr": {"log": [1e-4, 1e-2]}})


def test_the_share_of_made_images_can_be_searched_and_no_other_key_of_the_data() -> None:
    space = {"data.synthetic.share": {"choice": [0, 0.25]}, "few.fixmatch.threshold": {"float": [0.7, 0.95]}}
    found, problems = read(experiment(search__space=space, data__synthetic__uri="m", few__method="fixmatch"))
    assert problems == [] and {dimension.key for dimension in found.dimensions} == space.keys()
    with pytest.raises(ConfigError, match=r"data.synthetic.uri: this key is the same for all trials"):
        experiment(search__space={"data.synthetic.uri": {"choice": ["a", "b"]}})


COMPILED = {"train.compile": True, "search.space": {"few.method": {"choice": ["none", "fixmatch"]}}}
FROZEN = {"transfer.unfreeze": 0, "search.space": {"adapt.method": {"choice": ["none", "coral"]}}}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (COMPILED, "(?s)train.compile: found true, and few.method is fixmatch.*leave fixmatch out of few.method"),
        ({**FROZEN, "adapt.target": "z"}, "found coral, and transfer.unfreeze is 0"),
    ],
)
def test_a_searched_method_contradicts_a_fixed_key(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        override(Experiment.model_validate(BASE), changes)


def test_a_trial_without_the_method_has_values_that_the_method_could_not_have() -> None:
    space = {"adapt.method": {"choice": ["none", "coral"]}, "transfer.unfreeze": {"choice": [1, 0]}}
    base = experiment(search__space=space, adapt__method="none")
    assert override(base, {"transfer.unfreeze": 0}).transfer.unfreeze == 0
