"""Tiny drawn scenes for every task, and an experiment of each task on them that trains in a second."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from experiments.scenes.draw import Scene, scene
from experiments.scenes.files import FORMATS
from raytl.config.override import override
from raytl.config.schema import Experiment
from tests.conftest import write_photos

TASKS = ("classification", "multilabel", "segmentation", "detection", "instances")
_FORMATS = {"multilabel": "labels", "segmentation": "masks", "detection": "coco", "instances": "coco"}
_DENSE = ("segmentation", "detection", "instances")


def write_scenes(root: Path, train: int = 16, held_out: int = 6) -> Path:
    """Write the scenes in the formats of the tasks, and photos with one class each, below `root`; return it."""
    numbers = count()
    splits = {name: _drawn(numbers, n) for name, n in (("train", train), ("val", held_out), ("test", held_out))}
    for name in sorted(set(_FORMATS.values())):
        FORMATS[name](splits, root / name)
    write_photos(root / "photos", train // 2)
    return root


def _drawn(numbers: count[int], amount: int) -> list[Scene]:
    return [scene(3, next(numbers), sides=(48, 80), most=3) for _ in range(amount)]


def toy_task(task: str, scenes: Path, runs: Path, changes: dict[str, Any] | None = None) -> Experiment:
    """Return an experiment of `task` on `write_scenes`, in this process and fp32, with `changes` by dotted key."""
    base = {
        "name": task,
        "task": task,
        "data": {"uri": str(_data(task, scenes)), "cache": "off", "loader_workers": 0},
        "model": {"name": "test_resnet", "weights": "none", "preprocess": {"image_px": 48}},
        "transfer": {"unfreeze": 1, "head_first": 0},
        "optim": {"lr": 1e-3},
        "train": {"epochs": 1, "batch_size": 6, "early_stop": 0, "precision": "fp32", "deterministic": True},
        "compute": {"cluster": "none", "device": "cpu"},
        "storage": {"uri": str(runs)},
    }
    framed = {"model.preprocess.image_px": [64, 48], "model.neck.channels": 32} if task in _DENSE else {}
    return override(Experiment.model_validate(base), {**framed, **(changes or {})})


def _data(task: str, scenes: Path) -> Path:
    if task not in _FORMATS:
        return scenes / "photos"
    folder = scenes / _FORMATS[task]
    return folder / "labels.csv" if task == "multilabel" else folder
