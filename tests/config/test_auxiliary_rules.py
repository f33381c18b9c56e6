"""What auxiliary heads and early-learning regularization contradict, and keys that nothing uses."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.config.override import override, with_defaults
from raytl.config.rules import conflicts, idle
from raytl.config.schema import Experiment
from raytl.config.space import read
from raytl.errors import ConfigError

BASE = {"name": "a", "data": {"uri": "photos.csv"}, "model": {"name": "m"}}


def raw(changes: dict[str, Any]) -> Experiment:
    """The experiment with these values, checked by no rule."""
    values = Experiment.model_validate(BASE).model_dump()
    for key, value in changes.items():
        *path, last = key.split(".")
        section = values
        for name in path:
            section = section[name]
        section[last] = value
    return Experiment.model_validate(values)


CAMERA = {"auxiliary.columns": ["camera"]}
ROTATION = {"auxiliary.rotation": 0.1}
ELR = {"train.loss": "elr"}
SMALL_LOSS = {"train.loss": "small_loss"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (CAMERA, []),
        (ROTATION, []),
        (ELR, []),
        ({**CAMERA, "data.uri": "photos/"}, ["auxiliary.columns"]),
        ({**ROTATION, "data.uri": "photos/"}, []),
        ({"auxiliary.columns": ["site", "Site "]}, ["auxiliary.columns"]),
        ({**CAMERA, "augment.mixup": 0.2}, ["augment.mixup"]),
        ({**CAMERA, "auxiliary.weight": 0, "augment.mixup": 0.2}, []),
        ({**ROTATION, "augment.mixup": 0.2}, []),
        ({**ROTATION, "augment.rotate90": True}, ["augment.rotate90"]),
        ({**ROTATION, "augment.vflip": True}, ["augment.vflip"]),
        ({**ROTATION, "model.preprocess.image_px": (64, 64)}, ["model.preprocess.image_px"]),
        ({**ROTATION, "auxiliary.columns": ["rotation"]}, ["auxiliary.columns"]),
        ({**CAMERA, "transfer.unfreeze": 0}, ["auxiliary.weight"]),
        ({**ROTATION, "transfer.unfreeze": 0}, ["auxiliary.rotation"]),
        ({**CAMERA, "auxiliary.weight": 0, "transfer.unfreeze": 0}, []),
        ({**ELR, "augment.cutmix": 1.0}, ["augment.cutmix"]),
        ({**ELR, "transfer.unfreeze": 0}, []),
        ({**ELR, "train.compile": True}, ["train.compile"]),
        ({**ROTATION, "train.compile": True}, ["train.compile"]),
        (SMALL_LOSS, []),
        ({**SMALL_LOSS, "augment.mixup": 0.2}, ["augment.mixup"]),
        ({**SMALL_LOSS, "train.compile": True}, ["train.compile"]),
        ({**SMALL_LOSS, "train.epochs": 1, "transfer.head_first": 0}, ["train.loss"]),
    ],
)
def test_contradictions(changes: dict[str, Any], expected: list[str]) -> None:
    assert [conflict.keys[0] for conflict in conflicts(raw(changes))] == expected


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"auxiliary.weight": 0.1}, "auxiliary.weight"),
        ({**ROTATION, "auxiliary.weight": 0.1}, "auxiliary.weight"),
        ({"train.elr_weight": 1.0}, "train.elr_weight"),
        ({"train.small_loss_keep": 0.9}, "train.small_loss_keep"),
        ({"train.loss": "elr", "train.small_loss_ramp": 2}, "train.small_loss_ramp"),
        ({"train.loss": "gce", "train.elr_momentum": 0.9}, "train.elr_momentum"),
    ],
)
def test_a_key_that_nothing_uses_is_an_error(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}: cannot take effect"):
        override(Experiment.model_validate(BASE), changes)


def test_learned_weights_are_those_of_columns_or_of_turns() -> None:
    for changes in (CAMERA, ROTATION):
        assert "auxiliary.weight" not in {one.key for one in idle(raw({**changes, "auxiliary.weight": "uncertainty"}))}


def test_weights_can_be_searched_and_columns_cannot() -> None:
    space = {"auxiliary.weight": {"choice": [0, 0.3, "uncertainty"]}, "auxiliary.rotation": {"float": [0.0, 0.3]}}
    experiment = override(Experiment.model_validate(BASE), {**CAMERA, "search.space": space})
    read_space, problems = read(experiment)
    assert problems == [] and {dimension.key for dimension in read_space.dimensions} == space.keys()
    with pytest.raises(ConfigError, match="auxiliary.columns: this key is the same for all trials"):
        override(experiment, {"search.space": {"auxiliary.columns": {"choice": ["camera", "site"]}}})


def test_what_the_recipe_chooses_gives_way_to_turns() -> None:
    experiment = override(Experiment.model_validate(BASE), ROTATION)
    chosen = with_defaults(experiment, {"augment.rotate90": True, "optim.lr": 0.01})
    assert not chosen.augment.rotate90 and chosen.optim.lr == 0.01
