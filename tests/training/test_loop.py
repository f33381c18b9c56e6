"""Epochs, stages, early stopping and resuming, on images in memory."""

from __future__ import annotations

from math import nan
from pathlib import Path
from typing import Any

import pytest
import torch

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.errors import RunError
from raytl.events import EpochEnded, Resumed
from raytl.tasks.registry import task_named
from raytl.training import checkpoint
from raytl.training.checkpoint import Checkpoint
from raytl.training.loop import is_better
from tests.training.conftest import toy
from tests.training.in_memory import fit


def experiment(tmp_path: Path, changes: dict[str, Any]) -> Experiment:
    return toy(tmp_path / "none", tmp_path / "none", changes)


def loaded(folder: Path) -> Checkpoint:
    result = checkpoint.load(folder)
    assert result is not None
    return result


def assert_same(one: Checkpoint, other: Checkpoint) -> None:
    assert one.optimizer.keys() == other.optimizer.keys()
    pairs = [(one.model, other.model), (one.average, other.average)]
    pairs += [(one.optimizer[name], other.optimizer[name]) for name in one.optimizer]
    for mine, others in pairs:
        assert mine.keys() == others.keys()
        assert all(torch.equal(torch.as_tensor(mine[key]), torch.as_tensor(others[key])) for key in mine)


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({}, id="plain"),
        pytest.param(
            {"optim.ema": 0.8, "augment.mixup": 0.4, "model.dropout": 0.3, "transfer.gradual": True},
            id="all at once",
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_a_run_resumes_from_each_of_its_checkpoints_to_the_same_bits(extra: dict[str, Any], tmp_path: Path) -> None:
    config = experiment(tmp_path, {"train.checkpoint_every_s": 1e-9, **extra})
    whole = fit(config, tmp_path / "whole")
    places = [(state.epoch, state.step) for state in (loaded(folder).progress for folder in whole.checkpoints)]
    assert places == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0)]
    seldom = override(config, {"train.checkpoint_every_s": 300.0})
    for folder, (epoch, step) in zip(whole.checkpoints[:-1], places, strict=False):
        again = fit(seldom, tmp_path / f"from {epoch} {step}", loaded(folder))
        assert [event for event in again.events if isinstance(event, Resumed)] == [Resumed(epoch + 1, step)]
        assert again.records == whole.records[epoch:]
        assert_same(loaded(again.checkpoints[-1]), loaded(whole.checkpoints[-1]))
        assert not again.best or all(torch.equal(again.best[name], whole.best[name]) for name in whole.best)


def test_a_checkpoint_of_a_plan_in_which_other_parameters_learn_is_refused(tmp_path: Path) -> None:
    whole = fit(experiment(tmp_path, {"train.checkpoint_every_s": 1e-9}), tmp_path / "whole")
    with pytest.raises(
        RunError,
        match=r"trainable parameters of the checkpoint differ from those that the plan has for epoch 2.\n.*--new",
    ):
        fit(experiment(tmp_path, {"transfer.unfreeze": 1}), tmp_path / "again", loaded(whole.checkpoints[3]))


def test_early_stopping_waits_for_the_last_stage_and_keeps_the_best(tmp_path: Path) -> None:
    changes = {"train.epochs": 12, "train.early_stop": 2, "optim.lr": 1e-9, "transfer.head_first": 3}
    result = fit(experiment(tmp_path, changes), tmp_path)
    assert [state.stopped for state in result.progress] == [False] * (len(result.progress) - 1) + [True]
    assert 5 <= len(result.progress) < 12
    ended = [event for event in result.events if isinstance(event, EpochEnded)]
    best = result.progress[-1].best
    assert best is not None
    assert best.epoch + 1 == ended[-1].best_epoch == max(e.epoch for e in ended if e.best)


def test_stages_open_in_turn_with_their_rates(tmp_path: Path) -> None:
    opened = fit(experiment(tmp_path, {"transfer.gradual": True}), tmp_path).stages
    assert [event.learning for event in opened] == [
        ("head",), ("head", "layer4"), ("head", "layer4", "layer3"),
    ]  # fmt: skip
    assert opened[2].rates == pytest.approx({"head": 0.02, "layer4": 0.002, "layer3": 0.0012})
    assert [event.trainable for event in opened] == sorted(event.trainable for event in opened)


@pytest.mark.parametrize(
    ("metric", "candidate", "best", "wins"),
    [
        ("val/accuracy", {"val/accuracy": 0.9, "val/log_loss": 1.0}, None, True),
        ("val/accuracy", {"val/accuracy": 0.9, "val/log_loss": 1.0}, {"val/accuracy": 0.8, "val/log_loss": 0.1}, True),
        ("val/accuracy", {"val/accuracy": 0.8, "val/log_loss": 0.3}, {"val/accuracy": 0.8, "val/log_loss": 0.2}, False),
        ("val/accuracy", {"val/accuracy": 0.8, "val/log_loss": 0.1}, {"val/accuracy": 0.8, "val/log_loss": 0.2}, True),
        ("val/log_loss", {"val/log_loss": 0.1}, {"val/log_loss": 0.2}, True),
        ("val/log_loss", {"val/log_loss": 0.3}, {"val/log_loss": 0.2}, False),
        ("val/accuracy", {"val/accuracy": nan, "val/log_loss": 0.1}, {"val/accuracy": 0.1, "val/log_loss": 9.0}, False),
        ("val/accuracy", {"val/accuracy": 0.1, "val/log_loss": 9.0}, {"val/accuracy": nan, "val/log_loss": 0.1}, True),
    ],
)
def test_the_better_epoch_wins_and_ties_go_to_the_lower_log_loss(
    metric: str, candidate: dict[str, float], best: dict[str, float] | None, wins: bool
) -> None:
    assert is_better(task_named("classification"), candidate, best, metric) is wins
