"""What the ranks decide together, so that none waits for another that took a different turn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from raytl.cluster import pulse
from raytl.world import World


def total(world: World, values: Sequence[float], device: torch.device, of: str) -> list[float]:
    """The sum of each value over all ranks, the same on every rank; `of` says of what, for whoever wonders who waits."""
    if world.size == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=device)
    pulse.doing(f"all_reduce of {of}", waits=True)
    dist.all_reduce(tensor)
    summed = [float(value) for value in tensor.tolist()]
    pulse.doing(f"what follows the all_reduce of {of}")
    return summed


def follow_lead(world: World, tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by rank 0's."""
    if world.size > 1:
        pulse.doing("broadcast of rank 0's BatchNorm statistics", waits=True)
        for tensor in tensors:
            dist.broadcast(tensor, src=0)
        pulse.doing("what follows the broadcast of rank 0's BatchNorm statistics")
