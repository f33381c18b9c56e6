"""A tiny sweep on noisy coloured squares: pretrained weights of 32 px, a trial takes less than a second."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from raytl.config.override import override
from raytl.config.schema import Experiment, ModelConfig, PreprocessOverride
from raytl.events import Recorder
from raytl.models.backbone import build
from raytl.search.driver import tune
from raytl.search.summary import SweepResult, sweep_root
from tests.conftest import write_photos

MakeSweep = Callable[..., Experiment]


def write_weights(folder: Path, seed: int = 1) -> Path:
    """Write random weights that stand in for pretrained ones."""
    torch.manual_seed(seed)
    config = ModelConfig(name="test_resnet", weights="none", preprocess=PreprocessOverride(image_px=32))
    file = folder / "weights.safetensors"
    save_file({name: t.contiguous() for name, t in build(config, 7).module.state_dict().items()}, file)
    return file


def toy(photos: Path, weights: Path, runs: Path) -> Experiment:
    """Return an experiment with a small search, in this process and in fp32."""
    base = {
        "name": "toy",
        "data": {"uri": str(photos), "loader_workers": 0},
        "model": {"name": "test_resnet", "weights": str(weights), "preprocess": {"image_px": 32}},
        "transfer": {"unfreeze": 2},
        "augment": {"color": False},
        "train": {"epochs": 2, "batch_size": 8, "early_stop": 0, "precision": "fp32", "deterministic": True},
        "compute": {"cluster": "none", "device": "cpu"},
        "storage": {"uri": str(runs)},
        "search": {"trials": 4, "views": 2, "replicates": {"top": 2, "seeds": 2}},
    }
    return Experiment.model_validate(base)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The file of weights of one test."""
    return write_weights(tmp_path)


@pytest.fixture
def make_sweep(make_photos: Callable[..., Path], weights: Path, tmp_path: Path) -> MakeSweep:
    """`toy`, in a folder of the test's own; overrides by dotted key."""

    def make(changes: dict[str, Any] | None = None) -> Experiment:
        return override(toy(make_photos(12), weights, tmp_path / "runs"), changes or {})

    return make


@dataclass(frozen=True)
class Finished:
    """A sweep that ended, what it gave and what was heard of it."""

    experiment: Experiment
    result: SweepResult
    heard: Recorder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished `toy`, for tests that do not change it."""
    folder = tmp_path_factory.mktemp("finished")
    experiment = toy(write_photos(folder / "photos", 12), write_weights(folder), folder / "runs")
    heard = Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYTL_CACHE", str(folder / "cache"))
        return Finished(experiment, tune(experiment, on_event=heard), heard)


def outline(experiment: Experiment, *without: str) -> list[dict[str, str]]:
    """Return the columns of each trial that depend on neither time nor place."""
    rows = csv.DictReader((sweep_root(experiment) / "trials.csv").read_text().splitlines())
    return [{k: v for k, v in row.items() if k not in ("seconds", "folder", *without)} for row in rows]
