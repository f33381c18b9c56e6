"""The story of a notebook, once: a run, its report, and a sweep, on noisy coloured squares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import raytl
from tests.conftest import write_photos
from tests.search.cheap import make_cheap
from tests.search.conftest import write_weights


@dataclass(frozen=True)
class Story:
    """What the calls of a notebook returned."""

    folder: Path
    experiment: raytl.Experiment
    run: raytl.Run
    sweep: raytl.Sweep


def small(folder: Path, **changes: Any) -> raytl.Experiment:
    """Return an experiment of three classes on 32 px, made as a notebook makes it."""
    keys: dict[str, Any] = {
        "name": "toy",
        "data": folder / "photos",
        "model": {"name": "test_resnet", "weights": folder / "weights.safetensors", "preprocess": {"image_px": 32}},
        "transfer": {"fallback": "off"},
        "augment": {"color": False},
        "train": {"epochs": 2, "batch_size": 8, "precision": "fp32", "deterministic": True},
        "compute": {"cluster": "none", "device": "cpu"},
        "storage": {"uri": folder / "runs"},
        "search": {"views": 2, "replicates": {"top": 1, "seeds": 2}},
    }
    return raytl.Experiment(**keys | changes)


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Train and tune `small`, for tests that change nothing in it."""
    folder = tmp_path_factory.mktemp("story")
    write_photos(folder / "photos", 12)
    write_weights(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYTL_CACHE", str(folder / "cache"))
        experiment = small(folder)
        with pytest.MonkeyPatch.context() as cheap:
            make_cheap(cheap)
            run = raytl.train(experiment, progress=False)
            sweep = raytl.tune(experiment, trials=3, progress=False)
        yield Story(folder, experiment, run, sweep)
