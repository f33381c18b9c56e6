"""A task that another package declares as an entry point is found, checked and trained like raytl's own."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raytl.config.schema import Experiment
from raytl.data.manifest import Sample
from raytl.errors import ConfigError, DataError
from raytl.run import journal
from raytl.tasks.defaults import completed
from raytl.tasks.registry import GROUP, task_named, task_names
from raytl.tasks.task import Task
from raytl.training.driver import train


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The metadata that `pip install` writes for a package with entry points: one that works and one that is broken."""
    info = tmp_path / "site" / "toys-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    points = "regression = tests.plugins.regression:TASK\nbroken = tests.plugins.regression:MISSING\n"
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{points}")
    monkeypatch.syspath_prepend(tmp_path / "site")
    task_named.cache_clear()
    yield
    task_named.cache_clear()


def experiment(folder: Path, **changes: Any) -> Experiment:
    base: dict[str, Any] = {
        "name": "toy",
        "task": "regression",
        "data": {"uri": "squares", "cache": "off", "loader_workers": 0},
        "model": {"name": "test_resnet", "weights": "none", "preprocess": {"image_px": 32}},
        "augment": {"strength": 0.0, "color": False},
        "optim": {"lr": 1.0},
        "transfer": {"unfreeze": 0},
        "train": {"epochs": 4, "batch_size": 8, "precision": "fp32"},
        "compute": {"cluster": "none", "device": "cpu"},
        "storage": {"uri": str(folder)},
    }
    return completed(Experiment.model_validate(base | changes))


def table(folder: Path, count: int = 48) -> Path:
    """Gray squares and a table with the brightness of each."""
    folder.mkdir()
    rng, lines = np.random.default_rng(0), ["path,label,split"]
    for number in range(count):
        value = int(rng.integers(20, 230))
        pixels = rng.integers(value - 20, value + 20, (32, 32, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{value / 10},{'train' if number < count * 2 / 3 else 'val'}")
    path = folder / "brightness.csv"
    path.write_text("\n".join(lines))
    return path


def test_it_is_listed_after_raytls_own() -> None:
    assert task_names()[0] == "classification" and task_names()[-2:] == ("broken", "regression")


def test_it_has_every_part_of_the_contract() -> None:
    parts = {name for name, part in vars(Task).items() if inspect.isfunction(part) or isinstance(part, property)}
    missing = {part for part in parts if not part.startswith("_") and not hasattr(task_named("regression"), part)}
    assert not missing


def test_a_package_that_does_not_load_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match=r"broken \(tests.plugins.regression:MISSING\) cannot be loaded"):
        task_named("broken")


def test_its_metrics_and_options_are_checked(tmp_path: Path) -> None:
    assert experiment(tmp_path).train.metric == "val/mean_absolute_error"
    with pytest.raises(ConfigError, match="train.metric: found 'val/accuracy', which regression does not have"):
        experiment(tmp_path, train={"metric": "val/accuracy"})
    with pytest.raises(ConfigError, match="train.sampler: found 'balanced'; regression expects shuffle"):
        experiment(tmp_path, train={"sampler": "balanced"})


def test_labels_that_are_not_numbers_are_its_error() -> None:
    samples = [Sample("a.png", "/a.png", "1.5"), Sample("b.png", "/b.png", "cat")]
    with pytest.raises(DataError, match=r"1 labels are not numbers; .* b.png: 'cat'"):
        task_named("regression").classes(samples)


def test_it_trains_from_a_table_and_the_best_epoch_has_the_lowest_error(tmp_path: Path) -> None:
    result = train(experiment(tmp_path, data={"uri": str(table(tmp_path / "squares")), "loader_workers": 0}))
    rows = journal.read(Path(result.run) / "metrics.jsonl")
    errors = [row["val/mean_absolute_error"] for row in rows]
    assert result.metrics["val/mean_absolute_error"] == min(errors) < 4 and result.metrics["val/r2"] > 0.3
