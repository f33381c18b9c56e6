"""The losses of warm-ups against plain loops in float64, and the gradients of several ranks against those of one."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from raytl.data.loader import Batch
from raytl.data.shard import rank_part
from raytl.training.objectives import contrastive
from raytl.training.objectives.contrastive import SECOND, Contrastive, contrastive_loss, projector, with_own
from raytl.training.objectives.joint import FeatureTap
from raytl.training.objectives.objective import LABELLED, LossSum
from raytl.world import World

CPU = torch.device("cpu")
GENERATOR = torch.Generator().manual_seed(0)
VIEWS = functional.normalize(torch.randn(2, 7, 5, generator=GENERATOR, dtype=torch.float64), dim=2)
LABELS = torch.tensor([0, 1, 0, 9, 1, 0, 8])
FIRST, OTHER = torch.randn(2, 7, 4, generator=GENERATOR)


def reference(views: Tensor, labels: list[int], temperature: float) -> float:
    """Equation 2 of Khosla et al. 2020, averaged over the anchors."""
    rows, named = [*views[0], *views[1]], [*labels, *labels]
    total = 0.0
    for i, anchor in enumerate(rows):
        others = [a for a in range(len(rows)) if a != i]
        sums = sum(math.exp(float(anchor @ rows[a]) / temperature) for a in others)
        positives = [p for p in others if named[p] == named[i]]
        logs = [math.log(math.exp(float(anchor @ rows[p]) / temperature) / sums) for p in positives]
        total -= sum(logs) / len(logs)
    return total / len(rows)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_supcon_is_the_mean_over_the_views_of_the_same_label(temperature: float) -> None:
    loss = contrastive_loss(VIEWS, LABELS, temperature)
    assert float(loss) == pytest.approx(reference(VIEWS, LABELS.tolist(), temperature), rel=1e-9)


def test_with_a_label_for_each_image_it_is_nt_xent() -> None:
    loss = contrastive_loss(VIEWS, torch.arange(7), 0.5)
    logits = (VIEWS.flatten(0, 1) @ VIEWS.flatten(0, 1).T / 0.5).fill_diagonal_(-1e9)
    pairs = torch.cat([torch.arange(7, 14), torch.arange(7)])
    assert float(loss) == pytest.approx(float(functional.cross_entropy(logits, pairs)), rel=1e-9)


def test_its_gradient_is_finite_and_draws_the_views_of_an_image_together() -> None:
    free = VIEWS.clone().requires_grad_()
    loss = contrastive_loss(free, LABELS, 0.1)
    loss.backward()
    assert free.grad is not None and bool(free.grad.isfinite().all())
    assert contrastive_loss(VIEWS - 1e-3 * free.grad, LABELS, 0.1) < loss


class Step:
    """A network of one layer, whose features the tap returns."""

    def __init__(self, layer: nn.Linear, count: int) -> None:
        self.layer, self.count, self.progress = layer, count, 0.0
        self.features = torch.empty(0)

    def inputs(self, batch: Batch) -> Tensor:
        return batch.images

    def answers(self, inputs: Tensor) -> Tensor:
        raise AssertionError

    def __call__(self, *values: Any) -> Any:
        self.features = self.layer(values[0])


def on_rank(layer: nn.Linear, head: nn.Module, rank: int, size: int) -> LossSum:
    """The loss of a rank's part of the seven images."""
    ids = torch.from_numpy(rank_part(torch.arange(7).numpy(), rank, size))
    step = Step(layer, 7)
    tap = cast("FeatureTap", SimpleNamespace(take=lambda: step.features))
    objective = Contrastive(tap, head, 0.3, World(rank, size, rank, size), CPU)
    return objective.step(step, {LABELLED: Batch(FIRST[ids], ids, LABELS, {}), SECOND: Batch(OTHER[ids], ids)})


@pytest.mark.parametrize("size", [2, 3, 7])
def test_the_gradients_of_all_ranks_add_up_to_those_of_one(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    layer, head = nn.Linear(4, 6), projector(6, seed=3)
    parameters = [*layer.parameters(), *head.parameters()]
    alone = on_rank(layer, head, 0, 1)
    assert alone.beside is not None
    expected = torch.autograd.grad(alone.beside, parameters)
    both = layer(torch.cat([FIRST, OTHER]))
    whole = functional.normalize(head(both), dim=1).view(2, 7, -1).detach()

    class Summed:
        """The sum over all ranks, of whose rows this rank gives its own."""

        def __init__(self, world: World, numbers: Tensor, of: str) -> None:
            assert torch.allclose(numbers[:, world.rank :: size], whole[:, world.rank :: size])
            assert int(numbers.count_nonzero(dim=2).count_nonzero()) == 2 * len(range(world.rank, 7, size))

        def on_device(self) -> Tensor:
            return whole

    monkeypatch.setattr(contrastive, "Sum", Summed)
    parts = [on_rank(layer, head, rank, size).beside for rank in range(size)]
    total = torch.stack([part for part in parts if part is not None]).sum()
    assert total.item() == pytest.approx(alone.beside.item(), rel=1e-6)
    summed = torch.autograd.grad(total, parameters)
    for one, other in zip(expected, summed, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)


def test_own_rows_take_the_places_of_a_rank_and_leave_the_others() -> None:
    placed = with_own(torch.zeros(2, 5, 1), torch.ones(2, 2, 1), rank=1, size=3)
    assert placed[0, :, 0].tolist() == [0, 1, 0, 0, 1]


def test_a_projection_head_follows_from_its_seed_and_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    one, same, other = (nn.utils.parameters_to_vector(projector(4, seed).parameters()) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(before, torch.get_rng_state())
