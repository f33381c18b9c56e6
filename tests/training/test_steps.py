"""Steps of one epoch, on images in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from raytl.errors import NonFiniteLoss
from raytl.training.average import WeightAverage
from raytl.training.steps import _begin
from raytl.world import World
from tests.training.conftest import toy
from tests.training.in_memory import fit


def test_a_loss_that_is_not_finite_stops_at_once_and_says_what_to_do(tmp_path: Path) -> None:
    changes = {"optim.lr": 1e30, "optim.name": "sgd", "optim.clip_norm": None, "optim.warmup": 0}
    with pytest.raises(NonFiniteLoss, match=r"loss became .*\n  Lower optim.lr"):
        fit(toy(tmp_path, tmp_path, changes), tmp_path)


WHOLE_BATCH = {
    "model.name": "test_vit",
    "model.preprocess.image_px": 64,
    "augment.strength": 0.0,
    "optim.clip_norm": None,
    "train.batch_size": 8,
    "train.epochs": 1,
    "transfer.head_first": 0,
}
"""A network without BatchNorm, whose statistics are those of what is computed together."""


@dataclass(frozen=True)
class ObjectLoss:
    """An image of class k has k objects; the squared error is a mean over the objects of the global batch."""

    objects: int = 1

    def normalizer(self, targets: Tensor) -> float:
        return float(targets.sum()) * self.objects

    def __call__(self, forward: Callable[..., Any], inputs: Tensor, targets: Tensor, ids: Tensor) -> Tensor:
        error: Tensor = (forward(inputs) - ids[:, None]).square().mean(1)
        return (error * targets).sum()


def gradients(folder: Path, pieces: int, objective: ObjectLoss) -> tuple[list[list[Tensor]], list[float]]:
    """The gradients of each optimizer step, and the loss of the epoch."""
    seen: list[list[Tensor]] = []

    def keep(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        seen.append([p.grad.clone() for p in parameters if p.grad is not None])

    handle = register_optimizer_step_pre_hook(keep)  # type: ignore[arg-type]
    try:
        result = fit(
            toy(folder, folder, {**WHOLE_BATCH, "train.accumulate": pieces}), folder, count=8, objective=objective
        )
    finally:
        handle.remove()
    return seen, result.losses


@pytest.mark.parametrize("pieces", [2, 3])
def test_gradients_of_a_normalized_loss_do_not_depend_on_accumulation(pieces: int, tmp_path: Path) -> None:
    whole, loss = gradients(tmp_path / "whole", 1, ObjectLoss())
    parts, same_loss = gradients(tmp_path / "parts", pieces, ObjectLoss())
    assert len(whole) == len(parts) == 1
    assert any(gradient.abs().max() > 1e-2 for gradient in whole[0])
    for one, other in zip(whole[0], parts[0], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    assert loss == pytest.approx(same_loss, rel=1e-6)


def test_a_batch_whose_normalizer_is_zero_is_divided_by_one(tmp_path: Path) -> None:
    one, loss = gradients(tmp_path, 2, ObjectLoss(objects=0))
    assert all(gradient.isfinite().all() for gradient in one[0])
    assert loss[0] > 0


def test_accumulation_takes_the_same_steps_as_the_whole_batch(tmp_path: Path) -> None:
    # a network without BatchNorm: its statistics are those of what is computed together
    common = {"model.name": "test_vit", "train.epochs": 2, "augment.strength": 0.0, "model.preprocess.image_px": None}
    one, four = (
        fit(toy(tmp_path, tmp_path, {**common, "train.accumulate": pieces}), tmp_path / str(pieces))
        for pieces in (1, 4)
    )
    assert one.losses == pytest.approx(four.losses, rel=1e-4)


def test_ranks_share_the_statistics_that_answers_depend_on_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Tensor] = []

    def broadcast(tensor: Tensor, src: int) -> None:
        assert src == 0
        sent.append(tensor.clone())
        tensor.copy_(torch.arange(len(tensor)))

    monkeypatch.setattr("raytl.training.collectives.dist.broadcast", broadcast)
    own = {"mean": torch.full((2, 1), 7.0), "count": torch.tensor(5), "var": torch.full((1,), 8.0)}
    average = WeightAverage(0.9)
    average.track(own)
    phase: Any = SimpleNamespace(moving_buffers=lambda: own, set_rates=lambda *_, **__: {})
    for needs_answers in (False, True):
        context: Any = SimpleNamespace(
            experiment=SimpleNamespace(train=SimpleNamespace(seed=0, epochs=1)),
            world=World(rank=1, size=2, local_rank=1),
            loader=SimpleNamespace(steps=1),
            objective=SimpleNamespace(needs_answers=needs_answers),
            average=average,
        )
        _begin(context, phase, epoch=0, step=0)
        assert len(sent) == needs_answers
    assert sent[0].tolist() == [7, 7, 8, 7, 7, 8]
    assert own["mean"].tolist() == [[0], [1]] and own["var"].tolist() == [2] and own["count"] == 5
    assert average.shadow["mean"].tolist() == [[3], [4]] and average.shadow["var"].tolist() == [5]
