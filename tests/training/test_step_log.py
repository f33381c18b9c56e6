"""Values of steps that are read a step later: what the ranks decide, and weights that a NaN has reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from raytl.errors import NonFiniteLoss
from raytl.training import checkpoint, step_log
from raytl.training.checkpoint import Progress
from raytl.training.step_log import Requests, StepDone, StepLog
from raytl.world import World
from tests.training.conftest import toy
from tests.training.in_memory import fit

CPU, NOTHING, RATES = torch.device("cpu"), Requests(), {"head": 0.1}


@dataclass
class TwoRanks:
    """The sums of this rank's numbers and of those that another rank has at each step."""

    others: list[list[float]]
    read: list[str] = field(default_factory=list)

    def start(self, world: World, numbers: Tensor, of: str) -> Any:
        total = [one + other for one, other in zip(numbers.tolist(), self.others.pop(0), strict=True)]

        def read() -> list[float]:
            self.read.append(of)
            return total

        return type("Read", (), {"read": staticmethod(read)})()


def log_of(monkeypatch: pytest.MonkeyPatch, others: list[list[float]]) -> tuple[StepLog, list[StepDone], TwoRanks]:
    ranks, done = TwoRanks(others), list[StepDone]()
    monkeypatch.setattr(step_log, "start_readback", ranks.start)
    return StepLog("toy", World(0, 2, 0), CPU, Progress(epoch=1), done.append), done, ranks


def add(log: StepLog, step: int, loss: float, asks: Requests = NOTHING) -> Requests:
    return log.add(step, 4, RATES, torch.tensor(loss), asks)


def test_a_step_is_read_when_the_next_one_was_added(monkeypatch: pytest.MonkeyPatch) -> None:
    log, done, ranks = log_of(monkeypatch, [[0.5, 0, 0], [1.5, 0, 0]])
    add(log, 0, 2.0)
    assert done == ranks.read == [] and log.progress == Progress(epoch=1)
    add(log, 1, 3.0)
    assert ranks.read == ["the loss of epoch 2, step 1"]
    assert (log.progress.step, log.progress.loss_sum, log.progress.seen) == (1, 2.5, 4)
    log.flush()
    assert (log.progress.step, log.progress.loss_sum, log.progress.seen) == (2, 7.0, 8)
    assert [(each.progress.step, each.loss) for each in done] == [(1, 2.5 / 4), (2, 4.5 / 4)]


@pytest.mark.parametrize(
    ("mine", "other", "agreed"),
    [
        (Requests(save=True), [0.0, 0, 0], Requests(save=True)),
        (Requests(pause=True), [0.0, 0, 0], Requests(pause=True)),
        (NOTHING, [0.0, 0, 1], Requests(pause=True)),
        (Requests(save=True), [0.0, 1, 1], Requests(save=True, pause=True)),
    ],
)
def test_ranks_do_what_one_asked_for_a_step_later(
    mine: Requests, other: list[float], agreed: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, _, _ = log_of(monkeypatch, [other, [0.0, 0, 0]])
    assert add(log, 0, 1.0, mine) == NOTHING
    assert add(log, 1, 1.0) == agreed
    assert log.flush() == NOTHING


def test_what_is_asked_for_at_the_last_step_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    log, _, _ = log_of(monkeypatch, [[0.0, 0, 1]])
    assert add(log, 0, 1.0) == NOTHING
    assert log.flush() == Requests(pause=True)


def test_one_rank_does_at_once_what_it_asks_for() -> None:
    log = StepLog("toy", World.solo(), CPU, Progress(), lambda _: None)
    assert add(log, 0, 1.0, Requests(save=True)) == Requests(save=True)
    assert log.progress.step == 1, "on the CPU a loss is read at once"


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_reported_with_its_own_step(loss: float, monkeypatch: pytest.MonkeyPatch) -> None:
    log, done, _ = log_of(monkeypatch, [[0.0, 0, 0]] * 3)
    add(log, 4, 1.0)
    add(log, 5, loss)
    with pytest.raises(NonFiniteLoss, match=rf"toy: the loss became {loss} in epoch 2, step 6 \(rates: head 0.1\)"):
        add(log, 6, 1.0)
    assert log.progress.step == 5 and len(done) == 1


@dataclass(frozen=True)
class Broken:
    """Its loss is NaN at step `at` of the run; later steps fail, as a matcher does on boxes of NaN."""

    at: int
    steps: list[int] = field(default_factory=list)

    def normalizer(self, targets: Tensor) -> None: ...

    def __call__(self, forward: Callable[..., Any], inputs: Tensor, targets: Tensor, ids: Tensor) -> Tensor:
        self.steps.append(len(self.steps) + 1)
        if self.steps[-1] > self.at:
            raise ValueError("boxes of NaN")
        loss: Tensor = forward(inputs).square().sum()
        return loss * float("nan") if self.steps[-1] == self.at else loss


@pytest.mark.parametrize(
    ("at", "place", "every_s"),
    [
        (2, "epoch 1, step 2", 1e-9),
        (3, "epoch 1, step 3", 300.0),
        pytest.param(5, "epoch 2, step 2", 300.0, marks=pytest.mark.thorough),
    ],
)
def test_weights_that_a_nan_has_reached_are_neither_saved_nor_scored(
    at: int, place: str, every_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_log, "_lag", lambda *_: 1)
    experiment = toy(tmp_path, tmp_path, {"train.checkpoint_every_s": every_s})
    objective = Broken(at)
    with pytest.raises(NonFiniteLoss, match=f"the loss became nan in {place} "):
        fit(experiment, tmp_path, objective=objective)
    saved = [checkpoint.load(folder) for folder in sorted(tmp_path.glob("0*"))]
    assert len(saved) == (at - 1 if every_s < 1 else (at - 1) // 3)
    for state in saved:
        assert state is not None
        states = [state.model, *state.optimizer.values()]
        assert all(torch.as_tensor(value).isfinite().all() for values in states for value in values.values())
    assert len(objective.steps) <= at + 1
