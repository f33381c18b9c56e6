"""A written experiment reads back as the same one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raytl.config.dump import to_yaml
from raytl.config.load import load_experiment
from raytl.config.override import override
from raytl.config.schema import Experiment

BASE = Experiment.model_validate({"name": "a", "data": {"uri": "x"}, "model": {"name": "m"}})


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"name": "1e-3", "data.uri": "null", "storage.uri": "010"},
        {"name": "off", "data.cache": "on", "optim.lr": 1e-7},
        {"data.uri": "größe ${HOME}\nx: 'y'", "model.weights": "a/~"},
        {"model.preprocess.mean": [0.1, 0.2, 0.3], "train.class_weights": {"1": 1.0, "no": 2.0, "a: b": 3.0}},
        {"data.uri": "a\u202eb\x85\u2028\x7f\u200e", "train.class_weights": {"${A}": 1.0, "a\nb\u202e": 2.0}},
        {"transfer.unfreeze": 0},
        {"transfer.gradual": True, "transfer.gradual_every": 2, "transfer.unfreeze": "all"},
        {"train.loss": "focal", "train.focal_gamma": 1, "optim.schedule": "restarts", "optim.restart_every": 2},
        {"optim.schedule": "constant", "data.cache": "off", "optim.clip_norm": None, "optim.ema": 0.99},
    ],
)
def test_a_written_experiment_reads_back_the_same(values: dict[str, Any], tmp_path: Path) -> None:
    experiment = override(BASE, values)
    path = tmp_path / "experiment.yaml"
    path.write_text(to_yaml(experiment), encoding="utf-8")
    assert load_experiment(path) == experiment


def test_defaults_are_written_out_and_idle_keys_left_out() -> None:
    text = to_yaml(override(BASE, {"transfer.unfreeze": 0, "recipe": "none"}))
    assert "batch_size: 64" in text
    assert "lr_decay" not in text
    assert text.startswith("name: a\ntask: classification\nrecipe: none\ndata:\n  uri: x\n")


def test_what_the_recipe_chooses_is_not_written_as_if_it_were_set(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(to_yaml(override(BASE, {"train.seed": 3})), encoding="utf-8")
    again = load_experiment(path)
    assert (again.recipe, again.train.model_fields_set, again.optim.model_fields_set) == ("auto", {"seed"}, set())
