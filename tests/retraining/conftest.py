"""A small experiment with a registry, on colored photos that arrive day by day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.events import OnEvent, ignore
from raytl.registry.registry import Registry
from raytl.retraining.context import AfterTick
from raytl.retraining.tick import Retraining, retrain

MakeDays = Callable[..., "Days"]
START = datetime(2026, 11, 1, 6, tzinfo=UTC)


@dataclass
class Days:
    """The experiment, its photos' folder, and a clock that advances by a day with each tick."""

    experiment: Experiment
    photos: Path
    make_photos: Callable[..., Path]
    number: int = 0

    def add(self, per_class: int, classes: tuple[str, ...] = ("blue", "green", "red"), prefix: str = "") -> None:
        """Add new photos."""
        self.number += 1
        folder = self.make_photos(
            per_class, classes, root=self.photos.parent / f"made-{self.number}", seed=100 + self.number
        )
        for path in sorted(folder.rglob("*.jpg")):
            target = self.photos / path.parent.name / f"{prefix or self.number}-{path.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)

    def tick(self, on_event: OnEvent = ignore, after: AfterTick | None = None, dry_run: bool = False) -> Retraining:
        """Run a tick, one day later."""
        self.number += 1
        now = START + timedelta(days=self.number)
        return retrain(self.experiment, now=now, on_event=on_event, after=after, dry_run=dry_run)

    def where(self, **changes: Any) -> Days:
        """Return the same days with keys of the experiment changed (dots as double underscores)."""
        values = {key.replace("__", "."): value for key, value in changes.items()}
        return Days(override(self.experiment, values), self.photos, self.make_photos, self.number)

    @property
    def registry(self) -> Registry:
        """Open the registry."""
        assert self.experiment.retrain.registry is not None
        return Registry.open(self.experiment.retrain.registry)


@pytest.fixture(autouse=True)
def composed_charts(undrawn: None) -> None:
    """Leave out the pixels of charts."""


@pytest.fixture
def make_days(make_photos: Callable[..., Path], tmp_path: Path) -> MakeDays:
    """Return a factory of days with a registry (by default a folder), starting with `per_class` photos of three classes."""

    def make(registry: str | None = None, per_class: int = 24, epochs: int = 1) -> Days:
        values = {
            "name": "toy",
            "data": {"uri": str(make_photos(per_class)), "cache": "off", "loader_workers": 0, "test_fraction": 0.3},
            "model": {"name": "test_resnet", "weights": "none", "preprocess": {"image_px": 32}},
            "transfer": {"unfreeze": 0},
            "augment": {"strength": 0},
            "optim": {"lr": 0.02},
            "train": {"epochs": epochs, "batch_size": 8, "early_stop": 0, "precision": "fp32", "deterministic": True},
            "compute": {"cluster": "none", "device": "cpu"},
            "storage": {"uri": str(tmp_path / "runs")},
            "retrain": {
                "registry": registry or str(tmp_path / "models" / "toy"),
                "when": {"new_samples": 20},
                "gate": {"metric": "accuracy"},
            },
        }
        return Days(Experiment.model_validate(values), Path(values["data"]["uri"]), make_photos)  # type: ignore[index]

    return make
