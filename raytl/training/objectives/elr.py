"""Early-learning regularization: the network stays near what it said of each image before it learned wrong labels.

Source: Liu et al. 2020, Early-Learning Regularization Prevents Memorization of Noisy Labels, equations 3 and 9. The loss of the
labels is cross-entropy; this is the term beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from raytl.training.collectives import Sum
from raytl.training.objectives.joint import Outputs
from raytl.training.objectives.objective import LABELLED, Network
from raytl.training.transfer import on_device
from raytl.world import World

SMALLEST = 1e-4
"""Probabilities are at least this and at most 1 minus it, as in the authors' code, so that the logarithm is finite."""


class Averages(nn.Module):
    """The moving average of the network's probabilities for each training image, `probabilities (images, classes)`; zero at the
    start."""

    probabilities: Tensor

    def __init__(self, images: int, classes: int, device: torch.device) -> None:
        super().__init__()
        self.register_buffer("probabilities", torch.zeros(images, classes, device=device))


class EarlyLearning:
    """`weight` times log(1 - <p, t>): p are the probabilities of an image, t their moving average with this step's.

    An image that `train.sampler: balanced` draws twice in a step moves its average once, by the mean of both.
    """

    views: Sequence[str] = ()
    requested: Sequence[str] = ()

    def __init__(self, images: int, classes: int, weight: float, momentum: float, device: torch.device) -> None:
        self.state = Averages(images, classes, device)
        self._weight, self._momentum = weight, momentum
        self._seen: list[tuple[Tensor, Tensor]] = []
        self._count = 0

    def loss(self, outputs: Outputs, network: Network) -> Tensor:
        """Return the micro-batch's part of the mean over the labelled images."""
        logits = outputs.logits[LABELLED]
        ids = on_device(outputs.ids, logits.device)
        probabilities = logits.softmax(dim=1).clamp(SMALLEST, 1 - SMALLEST)
        said = probabilities.detach()
        said = said / said.sum(dim=1, keepdim=True)
        self._seen.append((ids, said))
        self._count = network.count
        targets = torch.lerp(said, self.state.probabilities[ids], self._momentum)
        return self._weight * torch.log1p(-(probabilities * targets).sum(dim=1)).sum() / network.count

    def end_step(self, world: World, device: torch.device) -> None:
        """Move the averages of the images of the global batch, the same on all ranks."""
        ids, said = (torch.cat(parts) for parts in zip(*self._seen, strict=True))
        self._seen = []
        ids, said, counted = _gathered(world, ids, said, self._count)
        averages = self.state.probabilities
        times = torch.zeros(len(averages), device=device).index_add_(0, ids, counted)
        steps = (said - averages[ids]) * (counted / times[ids].clamp_min(1)).unsqueeze(1)
        averages.index_add_(0, ids, steps, alpha=1 - self._momentum)


def _gathered(world: World, ids: Tensor, said: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the ids and probabilities of all ranks, and 1 for each row that is an image: ranks with fewer fill up with 0.

    A rank has its nearly equal part of `count` images, so the sizes are known without asking.
    """
    if world.size == 1:
        return ids, said, torch.ones(len(ids), device=said.device)
    longest = -(-count // world.size)
    rows = torch.zeros(world.size, longest, said.shape[1] + 2, dtype=torch.float64, device=said.device)
    own = rows[world.rank, : len(ids)]
    own[:, 0], own[:, 1], own[:, 2:] = ids, 1, said
    merged = Sum(world, rows, "the averages of early learning").on_device().flatten(0, 1)
    return merged[:, 0].long(), merged[:, 2:].float(), merged[:, 1].float()
