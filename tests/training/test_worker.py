"""Each option of an experiment, trained by one worker without a plan or plots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from raytl.config.schema import Experiment
from raytl.data.audit import audit
from raytl.data.formats import scan
from raytl.data.sources import TARGET
from raytl.data.split import divide
from raytl.events import ignore
from raytl.run import journal
from raytl.training import worker
from raytl.training.job import TrainJob
from raytl.training.worker import load_run, prepare
from raytl.world import World
from tests.conftest import write_photos
from tests.training.conftest import toy

Losses = list[dict[str, Any]]
Fit = Callable[..., Losses]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 photos of each of 3 classes; not to be written to."""
    return write_photos(tmp_path_factory.mktemp("photos"), 16)


@pytest.fixture
def fit(photos: Path, tmp_path: Path) -> Fit:
    """Train a toy with changes as this process's only worker; return the metrics of each epoch."""

    def run(changes: dict[str, Any]) -> Losses:
        experiment = toy(photos, tmp_path, changes)
        loaded = load_run(World.solo(), job(experiment, tmp_path / experiment.name), ignore)
        prepared = prepare(loaded, tensorboard=False)
        try:
            prepared.fit()
        finally:
            prepared.close()
        return journal.read(loaded.run_store.folder.metrics)

    return run


def job(experiment: Experiment, location: Path) -> TrainJob:
    splits = divide(audit(scan(experiment.data.uri), experiment.data).samples)
    return TrainJob(experiment, str(location), splits.train, splits.val, splits.classes)


@pytest.mark.parametrize(
    "changes",
    [
        {"train.loss": "focal", "train.class_weights": "balanced"},
        {"train.sampler": "balanced", "train.label_smoothing": 0.1, "augment.cutmix": 1.0},
        {"optim.name": "sgd", "optim.schedule": "onecycle", "optim.lr": 0.05},
        {"optim.name": "lamb", "optim.schedule": "restarts", "optim.restart_every": 1},
        {"transfer.unfreeze": "all", "train.precision": "bf16", "augment.erasing": 0.3, "augment.blur": True},
        {"transfer.unfreeze": 0},
        {"data.cache": "on", "data.loader_workers": 1},
    ],
    ids=lambda changes: " ".join(changes),
)
def test_every_option_trains_and_learns(fit: Fit, changes: dict[str, Any]) -> None:
    losses = [row["train/loss"] for row in fit({"train.deterministic": False, **changes})]
    assert losses[-1] < losses[0]


def test_a_solved_head_starts_training_where_a_linear_probe_ends(fit: Fit) -> None:
    """The first epoch of a run that starts from a solved head is better than that of one that starts at zero."""
    changes = {"train.epochs": 1, "transfer.unfreeze": 0, "optim.lr": 1e-5, "optim.warmup": 0, "train.seed": 3}
    zero, solved = (
        fit({**changes, "name": start, "transfer.head_start": start})[0]["val/log_loss"] for start in ("zero", "solved")
    )
    assert solved < zero


def test_labelled_images_have_the_style_of_the_target(photos: Path, tmp_path: Path) -> None:
    styled = job(toy(photos, tmp_path, {"adapt.target": str(photos), "adapt.style.probability": 1.0}), tmp_path / "run")
    styled = replace(styled, sources={TARGET: styled.val})

    def first_batch(own: TrainJob) -> torch.Tensor:
        loader = prepare(load_run(World.solo(), own, ignore), tensorboard=False).context.loader
        return next(iter(loader.epoch(1)))[0].images.clone()

    plain = replace(styled, experiment=toy(photos, tmp_path))
    assert not torch.equal(first_batch(plain), first_batch(styled))


@pytest.mark.parametrize(
    ("method", "expected"),
    [("adabn", ["fit", "fall_back", "adapt_best", "close"]), ("none", ["fit", "fall_back", "close"])],
)
def test_the_network_that_stays_is_adapted(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, expected: list[str]
) -> None:
    """After the fallback, which may replace the best network."""
    called: list[str] = []

    def calls(name: str) -> Callable[..., None]:
        return lambda *_: called.append(name)

    target = {"adapt.target": str(photos)} if method != "none" else {}
    own = job(toy(photos, tmp_path, {**target, "adapt.method": method}), tmp_path / "run")
    loaded = SimpleNamespace(job=own, backbone=None, run_store=SimpleNamespace(folder=None))
    context = SimpleNamespace(objective=SimpleNamespace(records={}))
    run = SimpleNamespace(fit=calls("fit"), close=calls("close"), context=context, validation=None, writer=None)
    replacements = {"load_run": lambda *_: loaded, "prepare": lambda _: run, "may_fall_back": lambda *_: True}
    for name, value in {**replacements, **{name: calls(name) for name in ("fall_back", "adapt_best")}}.items():
        monkeypatch.setattr(worker, name, value)
    worker.train_worker(World.solo(), own, ignore)
    assert called == expected
