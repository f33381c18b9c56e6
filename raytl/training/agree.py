"""What the ranks decide together, so that none waits for another that took a different turn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from raytl.world import World


def total(world: World, values: Sequence[float], device: torch.device) -> list[float]:
    """The sum of each value over all ranks, the same on every rank."""
    if world.size == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(tensor)
    return [float(value) for value in tensor.tolist()]


def follow_lead(world: World, tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by rank 0's."""
    if world.size > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)
