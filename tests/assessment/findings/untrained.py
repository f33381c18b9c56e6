"""A finished run of a model that was not trained, for reports from the evaluation to the page."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from raytl.config.dump import to_yaml
from raytl.config.schema import DataConfig, Experiment, ModelConfig, StorageConfig
from raytl.data.manifest import Sample
from raytl.data.targets import Target
from raytl.models.saved_model import Card, save_model
from raytl.run import RunFolder, journal
from raytl.run.atomic import write_text
from raytl.store.s3_settings import ENVIRONMENT
from raytl.tasks.registry import task_named

PX = 36
"""The side of the photos."""


def untrained_run(
    task: str, classes: tuple[str, ...], model: dict[str, Any], targets: tuple[Target, ...], photos: Path, runs: Path
) -> RunFolder:
    """Return a run whose photos have the `targets` in turn: of six photos one is of train, two of validation, three of test."""
    config = ModelConfig.model_validate({"name": "test_resnet", "weights": "none", **model})
    experiment = Experiment(
        name="demo", task=task, data=DataConfig(uri=str(photos)), model=config, storage=StorageConfig(uri=str(runs))
    )
    folder = RunFolder.of(experiment)
    write_text(folder.experiment, to_yaml(experiment))
    for number, path in enumerate(sorted(photos.rglob("*.jpg"))):
        split = ("train", "val", "val", "test", "test", "test")[number % 6]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        target = targets[number % len(targets)]
        journal.append(folder.samples, Sample(str(path.relative_to(photos)), str(path), target, split, digest).record())
    torch.manual_seed(0)
    backbone = task_named(task).build(config, classes, ENVIRONMENT)
    card = Card(
        config.name,
        classes,
        backbone.preprocess,
        backbone.weights_digest,
        task=task,
        head=config.head,
        neck_channels=config.neck.channels,
    )
    save_model(folder.best, backbone.module, card)
    folder.write_manifest({"epochs": 1})
    return folder
