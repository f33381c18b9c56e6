"""What decides a result, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.config.fingerprint import differences, fingerprint
from raytl.config.override import override
from raytl.config.schema import Experiment

BASE = Experiment.model_validate({"name": "a", "data": {"uri": "x"}, "model": {"name": "m"}})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "b"),
        ("compute.workers", 2),
        ("storage.uri", "elsewhere"),
        ("data.loader_workers", 3),
        ("data.cache", "on"),
        ("data.cache_limit_gb", 1),
        ("data.pull_limit_gb", 1),
        ("data.max_pixels", 1),
        ("train.checkpoint_every_s", 5),
        ("predict.score", 0.5),
        ("predict.nms_iou", 0.5),
        ("predict.max_detections", 5),
    ],
)
def test_where_and_how_fast_it_runs_decides_nothing(key: str, value: Any) -> None:
    assert fingerprint(override(BASE, {key: value})) == fingerprint(BASE)
    assert differences(BASE, override(BASE, {key: value})) == []


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("optim.lr", 0.01, "optim.lr: 0.001 -> 0.01"),
        ("model.name", "n", "model.name: m -> n"),
        ("data.uri", "y", "data.uri: x -> y"),
        ("model.preprocess.mean", [0.5, 0.5, 0.5], "model.preprocess.mean: None -> [0.5, 0.5, 0.5]"),
        ("train.class_weights", {"cat": 2.0}, "train.class_weights: none -> {'cat': 2.0}"),
        ("transfer.unfreeze", 0, "transfer.unfreeze: 2 -> 0"),
    ],
)
def test_keys_that_decide_are_listed(key: str, value: Any, line: str) -> None:
    changed = override(BASE, {key: value})
    assert fingerprint(changed) != fingerprint(BASE)
    assert differences(BASE, changed) == [line]


def test_a_default_written_out_is_the_same_experiment() -> None:
    assert fingerprint(override(BASE, {"optim.lr": 0.001, "transfer.head_first": "1 epoch"})) == fingerprint(BASE)


def test_keys_without_effect_decide_nothing() -> None:
    idle = BASE.model_copy(update={"train": BASE.train.model_copy(update={"focal_gamma": 5.0})})
    assert fingerprint(idle) == fingerprint(BASE)


def test_the_encoding_of_a_zips_names_decides_nothing_as_the_datas_digest_has_the_names() -> None:
    zipped = override(BASE, {"data.uri": "x.zip"})
    assert fingerprint(override(zipped, {"data.zip_encoding": "cp932"})) == fingerprint(zipped)


def test_streaming_decides_nothing() -> None:
    there = override(BASE, {"data.uri": "s3://bucket/x"})
    assert fingerprint(override(there, {"data.stream": True})) == fingerprint(there)
