"""A warm-up on one worker: what learns, what is saved, and that a killed one ends with the bits of an undisturbed one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from raytl.config.schema import Experiment, ModelConfig
from raytl.data.audit import audit
from raytl.data.formats import scan
from raytl.data.sources import UNLABELLED
from raytl.data.split import divide
from raytl.errors import NonFiniteLoss, RunError
from raytl.events import Message, Recorder, Resumed, Step, ignore
from raytl.models.backbone import build
from raytl.models.tensors import save_tensors
from raytl.run import journal
from raytl.run.folder import RunFolder
from raytl.training.driver import train
from raytl.training.job import TrainJob
from raytl.training.network import build_network, card_of
from raytl.training.warmup.worker import warmed_up, warmup_experiment
from raytl.world import World
from tests.conftest import write_photos
from tests.training.conftest import Interrupt, toy

CPU = torch.device("cpu")
WARM = {"warmup.method": "simclr", "warmup.epochs": 2, "warmup.batch_size": 8, "train.epochs": 1}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6 photos of each of 3 classes; not to be written to."""
    return write_photos(tmp_path_factory.mktemp("photos"), 6)


def warm(photos: Path, folder: Path, **changes: object) -> Experiment:
    return toy(photos, folder, {**WARM, **{key.replace("__", "."): value for key, value in changes.items()}})


def job_of(experiment: Experiment, folder: Path) -> TrainJob:
    splits = divide(audit(scan(experiment.data.uri), experiment.data).samples)
    half = len(splits.train) // 2
    train, rest = splits.train[:half], splits.train[half:]
    return TrainJob(experiment, str(folder), train, splits.val, splits.classes, sources={UNLABELLED: rest})


def saved(folder: Path) -> dict[str, Tensor]:
    return load_file(RunFolder(folder).warmup.best / "model.safetensors")


def test_the_stages_that_will_learn_learn_and_no_other(photos: Path, tmp_path: Path) -> None:
    own, heard = job_of(warm(photos, tmp_path), tmp_path / "a"), Recorder()
    torch.manual_seed(0)
    before = build_network(own, CPU)  # random weights, by the seed of the run
    job = warmed_up(World.solo(), own, heard)
    after, tensors = build_network(job, CPU), saved(tmp_path / "a")
    start, end = before.module.state_dict(), after.module.state_dict()
    for stage in before.stages:
        moved = any(not torch.equal(start[name], end[name]) for name in stage.parameters)
        assert moved == (stage in before.stages[-2:]), stage.name
    assert all(torch.equal(end[name], tensors[name]) for name in tensors if name not in before.head)
    assert after.weights_digest != before.weights_digest == "none"
    assert card_of(job, after).weights_digest == "none", "the run started from model.weights, as its manifest says"
    steps = [event for event in heard.events if isinstance(event, Step)]
    assert [(step.epoch, step.step, step.stage) for step in steps] == [
        (epoch, step, "warm-up") for epoch in (1, 2) for step in (1, 2)
    ]
    losses = [record["train/loss"] for record in journal.read(RunFolder(tmp_path / "a").warmup.metrics)]
    assert len(losses) == 2 and any(f"loss {losses[1]:.3f}" in str(event) for event in heard.events)

    again = Recorder()
    assert warmed_up(World.solo(), own, again) == job and again.events == []


def test_a_killed_warm_up_ends_with_the_same_bits(photos: Path, tmp_path: Path) -> None:
    experiment = warm(photos, tmp_path, warmup__method="supcon", train__checkpoint_every_s=1e-9)
    undisturbed, killed = (job_of(experiment, tmp_path / name) for name in "ab")
    warmed_up(World.solo(), undisturbed, ignore)
    with pytest.raises(KeyboardInterrupt):
        warmed_up(World.solo(), killed, Interrupt(2, 2))
    heard = Recorder()
    warmed_up(World.solo(), killed, heard)
    assert [(event.epoch, event.step) for event in heard.events if isinstance(event, Resumed)] == [(2, 1)]
    one, other = saved(tmp_path / "a"), saved(tmp_path / "b")
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.thorough
def test_a_run_in_a_bucket_begins_with_its_warm_up_and_trains_from_its_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, weights = write_photos(tmp_path / "photos", 6), tmp_path / "start.safetensors"
    save_tensors(build(ModelConfig(name="test_resnet", weights="none"), 3).module.state_dict(), weights)
    start = {"model__weights": str(weights), "transfer__head_start": "solved", "transfer__head_first": 0}
    experiment = warm(data, tmp_path, **start, storage__uri=f"memory://{tmp_path}/runs")
    with pytest.raises(KeyboardInterrupt):
        train(experiment, on_event=Interrupt(2, 1))
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "another machine"))
    photo = next(data.rglob("*.jpg"))
    content = photo.read_bytes()
    photo.unlink()
    with pytest.raises(RunError, match="the dataset changed since this run began"):
        train(experiment)
    photo.write_bytes(content)
    heard = Recorder()
    assert train(experiment, on_event=heard).status == "resumed"
    epochs = [event.text for event in heard.events if isinstance(event, Message) and "warm-up epoch" in event.text]
    assert len(epochs) == 1 and epochs[0].startswith("warm-up epoch 2 of 2: loss ")

    folder = RunFolder.of(experiment)
    assert folder.finished and "warmup/checkpoints/best/model.safetensors" in folder.manifest.read_text()
    warmed, trained = (load_file(each.best / "model.safetensors") for each in (folder.warmup, folder))
    frozen = [name for name in warmed if torch.equal(warmed[name], trained[name])]
    assert frozen and len(frozen) < len(warmed)
    assert (folder.head / "probe.json").exists(), "solved on the features of the warm-up"
    assert (folder.warmup.head / "probe.json").exists(), "solved on those before, which the run must not end below"
    other = build(ModelConfig(name="test_resnet", weights=f"{experiment.storage.uri}/toy/warmup"), 3)
    name = other.stages[-1].parameters[0]
    assert torch.equal(other.module.state_dict()[name], warmed[name])


def test_a_loss_that_is_not_finite_names_the_keys_of_the_warm_up(photos: Path, tmp_path: Path) -> None:
    own = job_of(warm(photos, tmp_path, warmup__lr=1e30), tmp_path / "a")
    with pytest.raises(NonFiniteLoss, match=r"(?s)^warm-up: .*warm-up|warmup\.lr"):
        warmed_up(World.solo(), own, ignore)


def test_its_settings_take_the_place_of_those_of_training(photos: Path, tmp_path: Path) -> None:
    own = warm(photos, tmp_path, warmup__lr=0.5, train__accumulate=2, optim__name="sgd", optim__ema=0.9)
    changed = warmup_experiment(own)
    assert (changed.train.epochs, changed.train.batch_size, changed.train.accumulate) == (2, 8, 1)
    assert (changed.optim.name, changed.optim.lr, changed.optim.schedule, changed.optim.ema) == (
        "adamw",
        0.5,
        "cosine",
        None,
    )
    assert warmup_experiment(warm(photos, tmp_path)).optim.lr == 0.02


def test_rates_of_another_optimizer_are_not_those_of_adamw(photos: Path, tmp_path: Path) -> None:
    rates = {"optim__lr": 0.1, "optim__weight_decay": 1e-4, "optim__momentum": 0.8}
    own = warmup_experiment(warm(photos, tmp_path, **rates)).optim
    assert (own.lr, own.weight_decay, own.momentum) == (0.1, 1e-4, 0.8)
    other = warmup_experiment(warm(photos, tmp_path, **rates, optim__name="sgd")).optim
    assert (other.lr, other.weight_decay, other.momentum) == (1e-3, 0.05, 0.9)
