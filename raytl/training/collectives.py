"""Collectives by which all ranks take the same decision, so that none waits for one that took another branch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from raytl.world import World


def sum_over_ranks(world: World, values: Sequence[float], device: torch.device, of: str) -> list[float]:
    """Sum each value over all ranks, with the same result on every rank; `of` names the values in status messages."""
    if world.size == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=device)
    world.status.begin(f"all_reduce of {of}", in_collective=True)
    dist.all_reduce(tensor)
    summed = [float(value) for value in tensor.tolist()]
    world.status.begin(f"the step after the all_reduce of {of}")
    return summed


def broadcast_from_main(world: World, tensors: Sequence[Tensor], of: str = "BatchNorm statistics") -> None:
    """Broadcast each tensor from rank 0; `of` names them in status messages."""
    if world.size > 1:
        world.status.begin(f"broadcast of rank 0's {of}", in_collective=True)
        for tensor in tensors:
            dist.broadcast(tensor, src=0)
        world.status.begin(f"the step after the broadcast of rank 0's {of}")
