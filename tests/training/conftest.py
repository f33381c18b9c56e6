"""A tiny experiment on noisy coloured squares, trained in this process or on an embedded Ray."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.events import Event, Step
from raytl.training import steps

MakeExperiment = Callable[..., Experiment]


class Interrupt:
    """A watcher that presses Ctrl-C at a step."""

    def __init__(self, epoch: int, step: int) -> None:
        self.at = (epoch, step)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Step) and (event.epoch, event.step) == self.at:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def composed_charts(undrawn: None) -> None:
    """Leave out the pixels of charts."""


@pytest.fixture(autouse=True)
def an_event_for_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "EVENT_EVERY_S", 0.0)


def toy(photos: Path, runs: Path, changes: dict[str, Any] | None = None) -> Experiment:
    """An experiment of 3 classes on 32 px, in-process and fp32, with `changes` by dotted key."""
    base = {
        "name": "toy",
        "recipe": "none",
        "data": {"uri": str(photos), "cache": "off", "loader_workers": 0},
        "model": {"name": "test_resnet", "weights": "none", "preprocess": {"image_px": 32}},
        "transfer": {"unfreeze": 2},
        "augment": {"strength": 0.2, "color": False},
        "optim": {"lr": 0.02},
        "train": {"epochs": 3, "batch_size": 8, "early_stop": 0, "precision": "fp32", "deterministic": True},
        "compute": {"cluster": "none", "device": "cpu"},
        "storage": {"uri": str(runs)},
    }
    return override(Experiment.model_validate(base), changes or {})


@pytest.fixture
def make_experiment(make_photos: Callable[..., Path], tmp_path: Path) -> MakeExperiment:
    """A `toy` in the test's own folder; keyword `per_class`, and overrides by dotted key."""

    def make(changes: dict[str, Any] | None = None, per_class: int = 16) -> Experiment:
        return toy(make_photos(per_class), tmp_path / "runs", changes)

    return make
