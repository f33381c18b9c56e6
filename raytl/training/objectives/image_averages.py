"""Moving averages of what is seen of single training images, the same on any number of workers."""

from __future__ import annotations

import torch
from torch import Tensor

from raytl.training.collectives import Sum
from raytl.world import World


class SeenRows:
    """The rows that the micro-batches of a step see of their images, `of` in status messages, until they move the averages.

    An image that `train.sampler: balanced` draws twice in a step moves its average once, by the mean of both.
    """

    def __init__(self, of: str) -> None:
        self._of = of
        self._parts: list[tuple[Tensor, Tensor]] = []
        self._count = 0

    def add(self, ids: Tensor, rows: Tensor, count: int) -> None:
        """Add `rows (b, width)` of the images `ids (b,)`; `count` is the number of labelled images in the global batch."""
        self._parts.append((ids, rows))
        self._count = count

    def move(self, averages: Tensor, momentum: float, world: World, device: torch.device) -> None:
        """Move `averages (images, width)` of the images of the global batch, the same on all ranks."""
        ids, rows = (torch.cat(parts) for parts in zip(*self._parts, strict=True))
        self._parts = []
        ids, rows, counted = self._gathered(world, ids, rows)
        times = torch.zeros(len(averages), device=device).index_add_(0, ids, counted)
        steps = (rows - averages[ids]) * (counted / times[ids].clamp_min(1)).unsqueeze(1)
        averages.index_add_(0, ids, steps, alpha=1 - momentum)

    def _gathered(self, world: World, ids: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the ids and rows of all ranks, and 1 for each row that is an image: ranks with fewer fill up with 0.

        A rank has its nearly equal part of the global batch, so the sizes are known without a collective.
        """
        if world.size == 1:
            return ids, rows, torch.ones(len(ids), device=rows.device)
        longest = -(-self._count // world.size)
        table = torch.zeros(world.size, longest, rows.shape[1] + 2, dtype=torch.float64, device=rows.device)
        own = table[world.rank, : len(ids)]
        own[:, 0], own[:, 1], own[:, 2:] = ids, 1, rows
        merged = Sum(world, table, self._of).on_device().flatten(0, 1)
        return merged[:, 0].long(), merged[:, 2:].float(), merged[:, 1].float()
