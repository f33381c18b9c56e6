"""A warm-up on real workers, one of which is killed in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from raytl.config.override import override
from raytl.events import WARM_UP, Resumed, Step
from raytl.run.folder import RunFolder
from raytl.training.driver import train
from tests.conftest import write_photos
from tests.training.conftest import toy
from tests.training.test_faults import TWO, KillOneWorker

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.thorough, pytest.mark.timeout(400)]


def test_two_workers_one_of_which_is_killed_end_where_one_ends(tmp_path: Path) -> None:
    write_photos(tmp_path / "pool", 8, seed=1)
    changes = {
        **TWO,
        "train.epochs": 1,
        "model.batch_norm": "frozen",  # its statistics would be those of each worker
        "data.unlabelled": str(tmp_path / "pool"),
        "warmup.method": "supcon",
        "warmup.epochs": 6,  # it is still running when the worker is killed
        "warmup.batch_size": 12,
        "warmup.lr": 1e-3,  # Adam amplifies the rounding of gradients, in proportion to its rate
    }
    killed = toy(write_photos(tmp_path / "photos", 16), tmp_path / "runs", changes)
    watcher = KillOneWorker(2, 1)
    train(killed, on_event=watcher)
    resumed = next(place for place, event in enumerate(watcher.events) if isinstance(event, Resumed))
    assert watcher.killed
    assert any(isinstance(event, Step) and event.stage == WARM_UP for event in watcher.events[resumed:])
    alone = override(killed, {"name": "alone", "compute.workers": 1, "compute.cluster": "none"})
    train(alone)
    two, one = (load_file(RunFolder.of(each).warmup.best / "model.safetensors") for each in (killed, alone))
    assert all(torch.allclose(two[name].float(), one[name].float(), rtol=1e-3, atol=1e-4) for name in two)
