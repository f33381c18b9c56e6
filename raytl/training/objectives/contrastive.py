"""Contrastive learning of two views of each image: SimCLR (Chen et al. 2020) and SupCon (Khosla et al. 2020).

SimCLR's NT-Xent is the loss of SupCon where every image is a class of its own (Khosla et al. 2020, equations 1 and 2), so there is
one loss. It compares all images of the global batch. Each rank computes it of the projections of all ranks, of which only its own
have gradients: the derivative of the whole loss is the sum over the ranks of those, as a reduction of gradients adds up.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from raytl.data.loader import Batch
from raytl.training.collectives import Sum
from raytl.training.objectives.joint import FeatureTap
from raytl.training.objectives.objective import LABELLED, LossSum, Network
from raytl.world import World

SECOND = "second view"
"""The name of the second view of the images of a batch; the first is under `LABELLED`."""
DIMENSIONS = 128
"""Of a projection, as in both papers."""


def contrastive_loss(projections: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return the loss `()` of both views of a batch, `(2, n, d)` of length one, whose images have `labels (n,)` (SupCon, L_out).

    For each view: the mean over all other views with its label of the negative log of their softmax among all other views.
    """
    views, same = projections.flatten(0, 1), labels.repeat(2)
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    similarities = (views @ views.T / temperature).masked_fill(itself, -torch.inf)
    is_positive = (same[:, None] == same) & ~itself
    logs = similarities.log_softmax(dim=1)
    sums = torch.where(is_positive, logs, torch.zeros_like(logs)).sum(1)
    return -(sums / is_positive.sum(1)).mean()


def projector(width: int, seed: int) -> nn.Module:
    """Return the projection head, two layers from features `(b, width)`, whose weights follow from `seed`.

    It has no BatchNorm, whose statistics would depend on the number of workers. torch's global generators are left alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed seeds the generators of GPUs too
        return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, DIMENSIONS))


def with_own(others: Tensor, own: Tensor, rank: int, size: int) -> Tensor:
    """Return the projections of all ranks, `(2, n, d)`, with the rows of this rank, `(2, m, d)`, in their places.

    They follow from `raytl.data.shard.rank_part`, so the order of the images is that of a single worker.
    """
    whole = others.clone()
    whole[:, rank::size] = own
    return whole


def gathered(own: Tensor, count: int, world: World) -> Tensor:
    """Return the projections of the `count` images of the global batch, `(2, count, d)`; gradients flow to this rank's `own`."""
    if world.size == 1:
        return own
    nothing = own.new_zeros((2, count, own.shape[2]))
    others = Sum(world, with_own(nothing, own.detach(), world.rank, world.size), "the projections").on_device()
    return with_own(others, own, world.rank, world.size)


class Contrastive:
    """The objective of a warm-up; `targets` of a batch are the labels of the whole global batch, the same on all ranks."""

    validated = None
    needs_answers = False
    records: Mapping[str, float] = MappingProxyType({})

    def __init__(
        self, tap: FeatureTap, head: nn.Module, temperature: float, world: World, device: torch.device
    ) -> None:
        self.state = head.to(device)
        self._tap, self._temperature, self._world = tap, temperature, world

    def normalizer(self, targets: Any) -> None:
        """Return None: the loss is a mean over the images."""

    def step(self, network: Network, batches: Mapping[str, Batch]) -> LossSum:
        """Return this rank's part of the loss, with the gradient of its images in the whole."""
        first, second = batches[LABELLED], batches[SECOND]
        network(torch.cat([network.inputs(first), network.inputs(second)]))
        projections = functional.normalize(self.state(self._tap.take()), dim=1)
        own = torch.stack(projections.split(len(first)))
        loss = contrastive_loss(gathered(own, network.count, self._world), first.targets, self._temperature)
        part = loss - loss.detach() * (1 - 1 / self._world.size)  # the parts add up to the loss; its gradient is whole
        return LossSum(torch.zeros_like(part), part)

    def end_step(self, world: World, device: torch.device) -> None:
        """Do nothing: the optimizer updates the projection head."""
