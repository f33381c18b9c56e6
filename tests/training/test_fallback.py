"""A fine-tune that ends below its own solved head is replaced, whole, and the run says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.events import Message, Recorder
from raytl.models.card import read_card
from raytl.run.folder import RunFolder
from raytl.tasks.task import Confusion, Validation
from raytl.training import fallback, worker
from raytl.training.driver import train
from raytl.training.fallback import Candidate, is_better
from tests.conftest import write_photos
from tests.training.conftest import toy

FRACTION = "fallback/fine_tuned_fraction"
TINY = {"train.epochs": 1, "transfer.head_first": 0, "train.batch_size": 16}
RUINED = {**TINY, "name": "ruined", "transfer.unfreeze": "all", "transfer.head_lr_ratio": 1.0, "optim.lr": 3.0}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 photos of each of 3 classes; not to be written to."""
    return write_photos(tmp_path_factory.mktemp("photos"), 16)


@pytest.fixture(scope="module")
def weights(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run whose weights the others start from."""
    return train(toy(photos, tmp_path_factory.mktemp("first"), {**TINY, "transfer.unfreeze": 0})).run


@pytest.fixture
def make(photos: Path, weights: str, tmp_path: Path) -> Callable[[dict[str, Any]], Experiment]:
    """Return a toy that starts from saved weights, with changes."""
    return lambda changes: override(toy(photos, tmp_path), {"model.weights": weights, **changes})


def score(folder: RunFolder) -> dict[str, float]:
    metrics: dict[str, float] = json.loads((folder.best / "validation.json").read_text())["metrics"]
    return metrics


def texts(recorder: Recorder) -> list[str]:
    return [event.text for event in recorder.events if isinstance(event, Message)]


def candidate(fraction: float, accuracy: float, losses: list[float] | None) -> Candidate:
    loss = float(np.mean(losses)) if losses else 0.5
    metrics = {"val/accuracy": accuracy, "val/log_loss": loss}
    empty = Confusion(("a",), np.zeros((1, 1), np.int64))
    return Candidate(fraction, Validation(metrics, empty), np.array(losses) if losses else None)


@pytest.mark.parametrize(
    ("accuracy", "losses", "expected"),
    [
        (0.9, [0.1, 0.1, 0.1, 0.1], True),
        (0.9, [9.0, 9.0, 9.0, 9.0], True),
        (0.7, [0.1, 0.1, 0.1, 0.1], False),
        (0.8, [0.4, 0.5, 0.4, 0.5], True),
        (0.8, [0.9, 0.1, 0.9, 0.3], False),
        (0.8, [0.6, 0.7, 0.7, 0.6], False),
        (0.8, [0.6, 0.6, 0.6, 0.6], False),
    ],
    ids=["better", "better by the metric alone", "worse", "equal and surer", "equal within noise", "equal and worse", "the same"],
)  # fmt: skip
def test_the_fine_tuned_network_stays_unless_the_other_is_better(
    accuracy: float, losses: list[float], expected: bool
) -> None:
    tuned = candidate(1.0, 0.8, [0.6, 0.6, 0.6, 0.6])
    assert is_better("val/accuracy", "log_loss", candidate(0.0, accuracy, losses), tuned) is expected


@pytest.mark.parametrize(("losses", "expected"), [([0.4, 0.5, 0.4, 0.5], True), ([0.9, 0.1, 0.9, 0.3], False)])
def test_a_loss_that_selects_epochs_has_to_be_better_beyond_noise(losses: list[float], expected: bool) -> None:
    tuned = candidate(1.0, 0.8, [0.6, 0.6, 0.6, 0.6])
    assert is_better("val/log_loss", "log_loss", candidate(0.0, 0.8, losses), tuned) is expected


def test_without_losses_the_tie_breaker_decides() -> None:
    better, worse = (Candidate(0.0, candidate(0.0, 0.8, [loss]).result) for loss in (0.1, 0.9))
    assert is_better("val/accuracy", "log_loss", better, worse)
    assert not is_better("val/accuracy", "log_loss", worse, better)


def test_a_ruined_fine_tune_falls_back_and_the_run_says_so(make: Callable[[dict[str, Any]], Experiment]) -> None:
    recorder = Recorder()
    result = train(make(RUINED), on_event=recorder)
    folder = RunFolder.open(result.run)
    assert 0 <= result.metrics[FRACTION] < 1
    assert result.metrics["val/balanced_accuracy"] > result.metrics["fallback/fine_tuned_balanced_accuracy"]
    assert read_card(folder.best).fine_tuned_fraction == result.metrics[FRACTION]
    assert any(text.startswith("fell back to ") for text in texts(recorder))
    assert folder.verify() == []


@pytest.mark.thorough
def test_a_run_that_is_killed_while_it_compares_ends_in_the_same_bits(
    make: Callable[[dict[str, Any]], Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = RunFolder.open(train(make({**RUINED, "name": "whole"})).run)
    measured, calls = fallback._measured, []

    def killed(*given: Any) -> Candidate:
        calls.append(given[-1])
        if len(calls) == 4:
            raise KeyboardInterrupt
        return measured(*given)

    cut = make({**RUINED, "name": "cut"})
    monkeypatch.setattr(fallback, "_measured", killed)
    with pytest.raises(KeyboardInterrupt):
        train(cut)
    monkeypatch.undo()
    folder = RunFolder.open(train(cut).run)
    left, right = (load_file(each.best / "model.safetensors") for each in (whole, folder))
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert score(whole) == score(folder)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.thorough
def test_several_workers_decide_the_same(
    make: Callable[[dict[str, Any]], Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was trained by one worker, and compared by one or by two."""
    cut = make(RUINED)
    monkeypatch.setattr(fallback, "_measured", None)
    with pytest.raises(TypeError, match="must be callable"):
        train(cut)
    monkeypatch.undo()
    shutil.copytree(Path(cut.storage.uri) / cut.name, Path(cut.storage.uri) / "two" / cut.name)
    two = {"compute.workers": 2, "compute.cluster": "local", "storage.uri": f"{cut.storage.uri}/two"}
    folders = [RunFolder.open(train(each).run) for each in (cut, override(cut, two))]
    left, right = (load_file(each.best / "model.safetensors") for each in folders)
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert score(folders[0]) == score(folders[1])
    assert FRACTION in score(folders[1])


@pytest.mark.thorough
def test_a_fallback_is_not_repeated_by_a_run_that_was_killed_after_it(
    make: Callable[[dict[str, Any]], Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = make(RUINED)
    done = fallback.fall_back

    def killed(*given: Any) -> None:
        done(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "fall_back", killed)
    with pytest.raises(KeyboardInterrupt):
        train(cut)
    folder = RunFolder.open(Path(cut.storage.uri) / cut.name)
    before = (score(folder), read_card(folder.best))
    monkeypatch.undo()
    monkeypatch.setattr(fallback, "_measured", None)
    assert train(cut).metrics == before[0]
    assert read_card(folder.best) == before[1]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"model.weights": "none"}, False),
        ({"transfer.fallback": "off"}, False),
        ({"transfer.unfreeze": 0, "transfer.head_start": "solved"}, False),
        ({"transfer.unfreeze": 0}, True),
    ],
)
def test_only_a_run_that_can_end_below_its_head_is_compared(
    make: Callable[[dict[str, Any]], Experiment], changes: dict[str, Any], expected: bool
) -> None:
    from raytl.training.job import TrainJob

    experiment = make(changes)
    job = TrainJob(experiment, "", (), (), ("a", "b"))
    backbone = job.task.build(experiment.model, job.classes, job.s3)
    assert fallback.may_fall_back(job, backbone) is expected


def test_a_warm_up_of_random_weights_has_no_pretrained_network_to_fall_back_to(
    make: Callable[[dict[str, Any]], Experiment],
) -> None:
    from raytl.training.job import TrainJob

    for weights, expected in (("none", False), (None, True)):
        experiment = make({} if weights is None else {"model.weights": weights})
        job = TrainJob(experiment, "", (), (), ("a", "b"), warmed="warmup")
        backbone = job.task.build(make({}).model, job.classes, job.s3)
        assert fallback.may_fall_back(job, backbone) is expected
