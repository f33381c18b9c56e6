"""Early-learning regularization against its formulas, written as loops in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from raytl.training.objectives import image_averages
from raytl.training.objectives.elr import EarlyLearning
from raytl.training.objectives.joint import Outputs
from raytl.training.objectives.objective import LABELLED
from raytl.world import World
from tests.training.objectives.test_terms import Step

CPU = torch.device("cpu")
IMAGES, CLASSES, WEIGHT, MOMENTUM = 5, 3, 3.0, 0.7
LOGITS = torch.randn(2, 4, CLASSES, generator=torch.Generator().manual_seed(0)) * 2


def outputs(logits: Tensor, ids: list[int]) -> Outputs:
    return Outputs({LABELLED: logits}, {}, {}, torch.tensor(ids))


def term() -> EarlyLearning:
    return EarlyLearning(IMAGES, CLASSES, WEIGHT, MOMENTUM, CPU)


def by_hand(steps: list[tuple[Tensor, list[int]]]) -> tuple[list[float], list[list[float]]]:
    """The loss of each step and the averages in the end: each image at most once in a step."""
    averages = [[0.0] * CLASSES for _ in range(IMAGES)]
    losses = []
    for logits, ids in steps:
        total = 0.0
        for row, image in zip(logits.double().tolist(), ids, strict=True):
            powers = [math.exp(each) for each in row]
            said = [power / sum(powers) for power in powers]
            averages[image] = [MOMENTUM * t + (1 - MOMENTUM) * p for t, p in zip(averages[image], said, strict=True)]
            total += math.log(1 - sum(t * p for t, p in zip(averages[image], said, strict=True)))
        losses.append(WEIGHT * total / len(ids))
    return losses, averages


def test_the_loss_and_the_averages_are_the_papers() -> None:
    steps = [(LOGITS[0], [0, 3, 1, 2]), (LOGITS[1], [3, 4, 0, 1])]
    ours, expected = term(), by_hand(steps)
    for (logits, ids), loss in zip(steps, expected[0], strict=True):
        assert float(ours.loss(outputs(logits, ids), Step(count=4))) == pytest.approx(loss, rel=1e-5)
        ours.end_step(World.solo(), CPU)
    torch.testing.assert_close(ours.state.probabilities, torch.tensor(expected[1]), rtol=1e-5, atol=1e-6)


def test_the_gradient_is_that_of_the_probabilities_alone() -> None:
    """Eq. 5 of the paper: the moving average is a constant."""
    logits = LOGITS[0].clone().requires_grad_()
    ours = term()
    ours.loss(outputs(LOGITS[1], [0, 1, 2, 3]), Step(count=4))
    ours.end_step(World.solo(), CPU)
    before = ours.state.probabilities.clone()
    ours.loss(outputs(logits, [0, 1, 2, 3]), Step(count=4)).backward()
    said = LOGITS[0].softmax(1)
    targets = MOMENTUM * before[:4] + (1 - MOMENTUM) * said
    inner = (said * targets).sum(1, keepdim=True)
    expected = -WEIGHT * said * (targets - inner) / (1 - inner) / 4
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, expected, rtol=1e-4, atol=1e-6)


def test_micro_batches_add_up_and_move_the_averages_once() -> None:
    whole, parts = term(), term()
    loss = whole.loss(outputs(LOGITS[0], [4, 2, 0, 1]), Step(count=4))
    summed = sum(
        parts.loss(outputs(LOGITS[0][part], [4, 2, 0, 1][part]), Step(count=4)) for part in (slice(0, 3), slice(3, 4))
    )
    torch.testing.assert_close(loss, summed)
    for each in (whole, parts):
        each.end_step(World.solo(), CPU)
    assert torch.equal(whole.state.probabilities, parts.state.probabilities)


def test_an_image_twice_in_a_batch_moves_its_average_by_the_mean_of_both() -> None:
    ours = term()
    ours.loss(outputs(LOGITS[0], [2, 0, 2, 1]), Step(count=4))
    ours.end_step(World.solo(), CPU)
    said = LOGITS[0].softmax(1)
    torch.testing.assert_close(ours.state.probabilities[2], (1 - MOMENTUM) * (said[0] + said[2]) / 2)
    torch.testing.assert_close(ours.state.probabilities[0], (1 - MOMENTUM) * said[1])
    assert not ours.state.probabilities[3:].any()


def test_ranks_end_with_the_averages_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three ranks of four images: the last has one only."""
    rows: dict[int, Tensor] = {}

    class Added:
        """Keeps the rows of a rank; the second time, returns the sum of all."""

        def __init__(self, world: World, numbers: Tensor, of: str) -> None:
            self._whole = sum(rows.values(), torch.zeros_like(numbers)) if world.rank in rows else numbers
            rows.setdefault(world.rank, numbers)

        def on_device(self) -> Tensor:
            return self._whole

    monkeypatch.setattr(image_averages, "Sum", Added)
    ids = [4, 2, 0, 1]
    alone = term()
    alone.loss(outputs(LOGITS[0], ids), Step(count=4))
    alone.end_step(World.solo(), CPU)
    for _ in range(2):
        results: list[Any] = []
        for rank in range(3):
            each = term()
            each.loss(outputs(LOGITS[0][rank::3], ids[rank::3]), Step(count=4))
            each.end_step(World(rank, 3, rank), CPU)
            results.append(each.state.probabilities)
    for result in results:
        torch.testing.assert_close(result, alone.state.probabilities)


def test_certain_answers_have_a_finite_loss() -> None:
    ours, certain = term(), torch.tensor([[90.0, 0, 0]])
    for _ in range(60):
        loss = ours.loss(outputs(certain, [0]), Step(count=1))
        ours.end_step(World.solo(), CPU)
    assert math.isfinite(float(loss)) and float(loss) < WEIGHT * math.log(1e-3)
