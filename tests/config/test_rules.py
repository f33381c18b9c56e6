"""Keys that contradict each other, and keys that cannot take effect."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.config.rules import conflicts, idle
from raytl.config.schema import Experiment

BASE: dict[str, Any] = {"name": "a", "data": {"uri": "x"}, "model": {"name": "m"}}


def experiment(**values: Any) -> Experiment:
    """The smallest experiment with `section__key=value` set."""
    raw = {key: dict(value) if isinstance(value, dict) else value for key, value in BASE.items()}
    for key, value in values.items():
        section, _, name = key.partition("__")
        raw.setdefault(section, {})[name] = value
    return Experiment.model_validate(raw)


def test_the_defaults_contradict_nothing() -> None:
    assert conflicts(experiment()) == []


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        ({"data__val_fraction": 0.5, "data__test_fraction": 0.5}, ["data.test_fraction"]),
        ({"data__zip_encoding": "cp932", "data__uri": "s3://b/a.ZIP"}, []),
        ({"data__zip_encoding": "cp932", "data__uri": "a.tar"}, ["data.zip_encoding"]),
        ({"data__zip_encoding": "cp9321", "data__uri": "a.zip"}, ["data.zip_encoding"]),
        ({"data__zip_encoding": "hex", "data__uri": "a.zip"}, ["data.zip_encoding"]),
        ({"model__weights": "pretraned"}, ["model.weights"]),
        ({"model__channels": 13}, []),
        (
            {"model__channels": 13, "model__preprocess": {"mean": [0.5] * 3, "std": [0.2] * 13}},
            ["model.preprocess.mean"],
        ),
        ({"model__channels": 13, "model__preprocess": {"mean": [0.5] * 13, "std": [0.2] * 13}}, []),
        ({"model__channels": 13, "model__preprocess": {"mean": [0.5] * 13}}, ["model.preprocess.mean"]),
        ({"model__preprocess": {"mean": [0.5] * 13, "std": [0.2] * 3}}, ["model.preprocess.mean"]),
        ({"model__channels": 2, "model__stem": "zero"}, ["model.stem"]),
        ({"model__channels": 2, "data__bit_depth": 12}, ["data.bit_depth"]),
        ({"model__channels": 2, "data__window": [40, 400]}, ["data.window"]),
        ({"data__window": [40, 400], "data__value_range": [0, 10000]}, []),
        ({"data__value_range": [9, 1]}, ["data.value_range"]),
        ({"data__value_range": [[0, 1], [0, 2]]}, ["data.value_range"]),
        ({"model__channels": 2, "data__value_range": [[0, 1], [0, 2]]}, []),
        ({"model__channels": 5, "data__value_range": [[0, 1], [0, 2]]}, ["data.value_range"]),
        ({"transfer__head_first": 12}, ["transfer.head_first"]),
        ({"transfer__head_first": 12, "transfer__unfreeze": 0}, []),
        ({"transfer__gradual": True, "transfer__unfreeze": 12}, ["transfer.gradual"]),
        ({"transfer__gradual": True, "transfer__unfreeze": 11}, []),
        ({"transfer__gradual": True, "transfer__unfreeze": "all"}, []),
        ({"optim__warmup": 12}, ["optim.warmup"]),
        ({"search__budget": {"max_epochs": 1}}, ["search.grace_epochs"]),
        ({"search__budget": {"max_epochs": 1}, "search__scheduler": "none"}, []),
        ({"search__budget": {"max_epochs": 1}, "search__scheduler": "none", "search__grace_epochs": 5}, []),
        ({"search__folds": 5}, []),
        ({"search__folds": 5, "compute__workers": 2}, ["search.folds"]),
        ({"search__folds": 5, "search__soup": "greedy"}, ["search.folds"]),
        ({"train__accumulate": 65}, ["train.accumulate"]),
        ({"train__batch_size": 2, "compute__workers": 3}, ["train.batch_size"]),
        ({"train__batch_size": 4, "compute__workers": 3, "train__accumulate": 2}, ["train.accumulate"]),
        ({"train__batch_size": 6, "compute__workers": 3, "train__accumulate": 2}, []),
        ({"train__loss": "focal", "augment__mixup": 0.2, "augment__cutmix": 1}, ["augment.mixup", "augment.cutmix"]),
        ({"train__class_weights": "balanced", "train__sampler": "balanced"}, ["train.class_weights"]),
        ({"train__class_weights": {"cat": 2}, "train__sampler": "balanced"}, ["train.class_weights"]),
        ({"compute__cluster": "none", "compute__workers": 2}, ["compute.workers"]),
        ({"compute__cluster": "none"}, []),
        ({"train__precision": "fp16", "compute__device": "cpu"}, ["train.precision"]),
        ({"train__precision": "bf16", "compute__device": "cpu"}, []),
        ({"storage__uri": "gs://bucket/runs"}, ["storage.uri"]),
        ({"storage__uri": "s3://bucket/runs"}, []),
        ({"storage__uri": "file:///tmp/runs"}, []),
    ],
)
def test_contradictions_are_found(values: dict[str, Any], keys: list[str]) -> None:
    found = conflicts(experiment(**values))
    assert [conflict.keys[0] for conflict in found] == keys
    assert all(conflict.fault and conflict.advice for conflict in found)


@pytest.mark.parametrize("weights", ["pretrained", "none", "models/x.safetensors", "x.pth", "runs/trash"])
def test_words_that_may_be_files_are_left_to_the_loader(weights: str) -> None:
    assert conflicts(experiment(model__weights=weights)) == []


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"transfer__unfreeze": 0}, "transfer.lr_decay"),
        ({"transfer__unfreeze": 0}, "transfer.head_lr_ratio"),
        ({"transfer__unfreeze": 0, "transfer__gradual": True}, "transfer.gradual"),
        ({"transfer__gradual": False}, "transfer.gradual_every"),
        ({"train__loss": "cross_entropy"}, "train.focal_gamma"),
        ({"optim__schedule": "cosine"}, "optim.restart_every"),
        ({"optim__schedule": "constant"}, "optim.min_lr_ratio"),
        ({"data__cache": "off"}, "data.cache_limit_gb"),
    ],
)
def test_keys_without_effect_are_found(values: dict[str, Any], key: str) -> None:
    assert key in {one.key for one in idle(experiment(**values))}


def test_the_stem_needs_other_channels_and_pretrained_filters() -> None:
    assert [each.key for each in idle(experiment(model__stem="mean"))].count("model.stem") == 1
    assert "model.stem" in [each.key for each in idle(experiment(model__channels=4, model__weights="none"))]
    assert "model.stem" not in [each.key for each in idle(experiment(model__channels=4))]


def test_keys_with_effect_are_not_idle() -> None:
    full = experiment(transfer__gradual=True, train__loss="focal", optim__schedule="restarts", model__channels=4)
    others = (
        "few.",
        "adapt.",
        "warmup.",
        "auxiliary.",
        "data.synthetic.",
        "train.gce_q",
        "train.elr_",
        "train.small_loss_",
    )  # of methods that are off, and of another loss
    assert [one.key for one in idle(full) if not one.key.startswith(others)] == []
