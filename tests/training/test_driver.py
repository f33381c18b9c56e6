from __future__ import annotations

import asyncio
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.data.bit_depth import BitDepth
from raytl.errors import DataError, RunError
from raytl.events import Event, Message, Recorder, Resumed, StageOpened, Step
from raytl.models.card import read_card
from raytl.run import journal
from raytl.run.folder import RunFolder
from raytl.training.driver import TrainResult, plan, train
from tests.conftest import write_deep_photos, write_photos
from tests.training.conftest import Interrupt, MakeExperiment, toy

SHORT = {"train.epochs": 1, "transfer.head_first": 0}


@dataclass(frozen=True)
class Trained:
    """A finished run that tests do not change, its events, and the test images, which were hidden while it trained."""

    experiment: Experiment
    result: TrainResult
    events: list[Event]
    hidden: list[Path]

    @property
    def folder(self) -> RunFolder:
        return RunFolder.open(self.result.run)


class HideFiles(Recorder):
    """Hides files as soon as training begins, and restores them."""

    def __init__(self, paths: list[Path]) -> None:
        super().__init__()
        self.moved: list[Path] = []
        self.paths = paths

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        if isinstance(event, StageOpened) and not self.moved:
            self.moved = [path.rename(path.with_suffix(".hidden")) for path in self.paths]

    def restore(self) -> None:
        for path in self.moved:
            path.rename(path.with_suffix(".jpg"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A toy whose data has a broken image, trained while its test images were hidden."""
    root = tmp_path_factory.mktemp("trained")
    photos = write_photos(root / "photos", 16)
    (photos / "red" / "zz broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not an image")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYTL_CACHE", str(root / "cache"))
        experiment = toy(photos, root / "runs", {"data.on_bad_image": "skip"})
        dataset = plan(experiment).dataset
        seen = {s.path for s in (*dataset.splits.train, *dataset.splits.val)}
        watcher = HideFiles([Path(s.path) for s in dataset.samples if s.path not in seen])
        result = train(experiment, on_event=watcher)
        watcher.restore()
    return Trained(experiment, result, watcher.events, watcher.moved)


def records(folder: RunFolder) -> list[dict[str, Any]]:
    """Return the run's metrics without times and rates."""
    clocks = re.compile("seconds|images_per_s")
    return [{k: v for k, v in record.items() if not clocks.search(k)} for record in journal.read(folder.metrics)]


def test_a_run_folder_has_everything_to_use_and_to_repeat_the_run(trained: Trained) -> None:
    result, folder = trained.result, trained.folder
    assert result.status == "trained"
    assert result.epochs == 3
    assert folder.finished
    assert folder.verify() == []
    names = {path.relative_to(folder.root).as_posix() for path in folder.root.rglob("*") if path.is_file()}
    assert {
        "experiment.yaml", "provenance.json", "samples.jsonl", "skipped.jsonl", "classes.json", "metrics.jsonl",
        "curves.png", "confusion.png", "manifest.json", "checkpoints/best/model.safetensors",
        "checkpoints/best/model.json", "checkpoints/last/model.safetensors", "checkpoints/last/state.json",
    } <= names  # fmt: skip
    assert not list(folder.root.glob("checkpoints/.*"))
    assert any((folder.tensorboard).iterdir())
    record = json.loads(folder.provenance.read_text())
    assert len(record["dataset"]) == 64
    assert record["test"]["count"] > 0
    assert set(result.metrics) == {
        "val/accuracy", "val/balanced_accuracy", "val/macro_f1", "val/log_loss", "calibration/temperature",
        "calibration/log_loss", "calibration/uncalibrated_log_loss", "calibration/ece", "calibration/uncalibrated_ece",
    }  # fmt: skip
    assert read_card(folder.best).temperature == result.metrics["calibration/temperature"]
    score = json.loads((folder.best / "validation.json").read_text())
    assert (score["epoch"], score["metrics"]) == (result.best_epoch, result.metrics)


def test_training_never_reads_the_test_split(trained: Trained) -> None:
    record = json.loads(trained.folder.provenance.read_text())
    assert len(trained.hidden) == record["test"]["count"] > 0
    assert trained.result.status == "trained"


def test_a_broken_image_is_refused_or_skipped_and_listed(trained: Trained, tmp_path: Path) -> None:
    refusing = override(trained.experiment, {"data.on_bad_image": "error", "storage.uri": str(tmp_path / "runs")})
    with pytest.raises(DataError, match=r"zz broken\.jpg"):
        train(refusing)
    assert not RunFolder.of(refusing).root.exists()
    assert [record["key"] for record in journal.read(trained.folder.skipped)] == ["red/zz broken.jpg"]
    assert any("zz broken.jpg" in event.text for event in trained.events if isinstance(event, Message))


def test_a_finished_run_is_reported_and_left_unchanged(trained: Trained) -> None:
    before = trained.folder.manifest.stat().st_mtime_ns
    watcher = Recorder()
    again = train(trained.experiment, on_event=watcher)
    assert again.status == "already finished"
    assert again.metrics == trained.result.metrics
    assert watcher.events == []
    assert trained.folder.manifest.stat().st_mtime_ns == before


def test_new_starts_over_and_renames_the_old_run(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.folder.root, tmp_path / "runs" / "toy")
    again = train(override(trained.experiment, {"storage.uri": str(tmp_path / "runs"), **SHORT}), new=True)
    assert again.status == "trained"
    assert (again.run, again.epochs) == (str(tmp_path / "runs" / "toy"), 1)
    aside = RunFolder.open(f"{again.run}.old-1")
    assert (aside.finished, aside.verify()) == (True, [])


def test_new_renames_nothing_if_the_data_is_wrong(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.folder.root, tmp_path / "runs" / "toy")
    values = {"storage.uri": str(tmp_path / "runs"), "data.uri": str(tmp_path / "nowhere"), **SHORT}
    with pytest.raises(DataError, match="nowhere"):
        train(override(trained.experiment, values), new=True)
    assert [each.name for each in (tmp_path / "runs").iterdir()] == ["toy"]


def test_another_experiment_in_the_same_folder_is_refused_with_the_differences(trained: Trained) -> None:
    with pytest.raises(RunError, match=r"optim.lr: 0.02 -> 0.5\n.*--new"):
        train(override(trained.experiment, {"optim.lr": 0.5}))


@pytest.mark.parametrize(
    ("at", "every_s", "resumed"), [((1, 2), 300.0, []), ((2, 3), 1e-9, [Resumed(2, 2)])], ids=["afresh", "resumed"]
)
def test_an_interrupted_run_continues_to_the_same_bits(
    trained: Trained, tmp_path: Path, at: tuple[int, int], every_s: float, resumed: list[Resumed]
) -> None:
    # where else it may resume, and with what else in the checkpoint: test_loop
    broken = override(trained.experiment, {"storage.uri": str(tmp_path), "train.checkpoint_every_s": every_s})
    with pytest.raises(KeyboardInterrupt):
        train(broken, on_event=Interrupt(*at))
    watcher = Recorder()
    result = train(broken, on_event=watcher)
    assert result.status == ("resumed" if resumed else "trained")
    assert [event for event in watcher.events if isinstance(event, Resumed)] == resumed
    assert records(RunFolder.of(broken)) == records(trained.folder)
    one, other = (load_file(folder.best / "model.safetensors") for folder in (trained.folder, RunFolder.of(broken)))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_data_that_changed_since_an_interrupted_run_is_refused(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment({"train.checkpoint_every_s": 1e-9})
    with pytest.raises(KeyboardInterrupt):
        train(experiment, on_event=Interrupt(1, 2))
    victim = next((Path(experiment.data.uri) / "red").iterdir())
    (victim.parent / "copy of it.jpg").write_bytes(victim.read_bytes() + b"\0")
    with pytest.raises(RunError, match="the dataset changed since this run began .*\n.*--new"):
        train(experiment)


def test_the_bit_depth_is_recorded_in_the_run_and_its_model(make_experiment: MakeExperiment, tmp_path: Path) -> None:
    root = write_deep_photos(tmp_path / "scans", 12, per_class=8)
    experiment = make_experiment({"data.uri": str(root), "train.epochs": 2, "transfer.unfreeze": 0})
    with pytest.raises(KeyboardInterrupt):
        train(experiment, on_event=Interrupt(2, 1))
    folder = RunFolder.of(experiment)
    record = json.loads(folder.provenance.read_text())
    assert record["bit_depth"] == 12
    assert read_card(folder.best).preprocess.bit_depth == BitDepth(12)
    folder.provenance.write_text(json.dumps({key: value for key, value in record.items() if key != "bit_depth"}))
    with pytest.raises(RunError, match="began with a bit depth of 16; expected 12 .largest value 4095.*--new"):
        train(experiment)


def test_two_trainings_in_one_folder_exclude_each_other(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment()

    def try_again(event: Event) -> None:
        if isinstance(event, Step):
            with pytest.raises(RunError, match=r"another raytl .*pid.* is working in this folder"):
                train(experiment)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(experiment, on_event=try_again)


@pytest.mark.ray
@pytest.mark.thorough
def test_workers_train_for_a_notebook_which_has_an_event_loop(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment({"compute.cluster": "local", "compute.workers": 2, "train.epochs": 2})

    async def cell() -> TrainResult:
        return train(experiment)

    assert asyncio.run(cell()).epochs == 2
