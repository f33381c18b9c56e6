"""Steps of several sources on real workers: one is killed, and the run ends with the bits of an undisturbed one."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.config.override import override
from raytl.config.schema import Experiment, ModelConfig
from raytl.events import Resumed
from raytl.models.backbone import build
from raytl.models.tensors import save_tensors
from raytl.run.folder import RunFolder
from raytl.training.checkpoint import load
from raytl.training.driver import train
from tests.conftest import write_photos
from tests.training.conftest import toy
from tests.training.test_faults import TWO, KillOneWorker, assert_same

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.thorough, pytest.mark.timeout(400)]


def several(folder: Path) -> Experiment:
    """An experiment with made images, images without labels and a target domain, an average of the weights, auxiliary heads and
    early-learning regularization."""
    for seed, (name, count) in enumerate({"pool": 8, "target": 8, "made": 5}.items(), start=1):
        write_photos(folder / name, count, seed=seed)
    save_tensors(
        build(ModelConfig(name="test_resnet", weights="none"), 3).module.state_dict(), folder / "start.safetensors"
    )
    changes = {
        **TWO,
        "train.epochs": 2,
        "train.batch_size": 12,
        "model.weights": str(folder / "start.safetensors"),
        "optim.ema": 0.9,
        "transfer.fallback": "off",
        "data.unlabelled": str(folder / "pool"),
        "data.synthetic.uri": str(folder / "made"),
        "data.synthetic.share": 0.25,
        "few.method": "fixmatch",
        "few.fixmatch.threshold": 0.4,
        "adapt.method": "dann",
        "adapt.target": str(folder / "target"),
        "auxiliary.columns": ["camera"],
        "auxiliary.rotation": 0.1,
        "train.loss": "elr",
    }
    return toy(_with_cameras(write_photos(folder / "photos", 16)), folder / "runs", changes)


def _with_cameras(photos: Path) -> Path:
    """A manifest of the photos with a camera for two of three."""
    paths = sorted(photos.glob("*/*.jpg"))
    rows = [f"{path},{path.parent.name},{('a', 'b', '')[i % 3]}" for i, path in enumerate(paths)]
    (photos.parent / "photos.csv").write_text("\n".join(["path,label,camera", *rows]))
    return photos.parent / "photos.csv"


def test_a_killed_worker_changes_nothing_in_the_end(tmp_path: Path) -> None:
    undisturbed = several(tmp_path)
    train(undisturbed)
    killed = override(undisturbed, {"name": "killed"})
    watcher = KillOneWorker(2, 1)
    train(killed, on_event=watcher)
    assert watcher.killed and any(isinstance(event, Resumed) for event in watcher.events)
    assert_same(undisturbed, killed)
    one, other = (load(RunFolder.of(each).last) for each in (undisturbed, killed))
    assert one is not None and other is not None and one.objective.keys() == other.objective.keys() != set()
    assert all(bool((tensor == other.objective[name]).all()) for name, tensor in one.objective.items())
