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
