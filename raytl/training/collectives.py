"""Collectives by which all ranks take the same decision, so that none waits for one that took another branch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from raytl.world import World


def sum_over_ranks(world: World, values: Sequence[float], device: torch.device, of: str) -> list[float]:
    """Sum each value over all ranks, with the same result on every rank; `of` names the values in status messages.

    The host waits for the result, so this is not for steps of training.
    """
    if world.size == 1:
        return list(values)
    return Sum(world, torch.tensor(values, dtype=torch.float64, device=device), of).on_host()


class Sum:
    """The sum of `numbers` over all ranks, started when this value is made; `of` names them in status messages.

    `numbers` are replaced by their sum. All ranks must start their sums in the same order.
    """

    def __init__(self, world: World, numbers: Tensor, of: str) -> None:
        self._world, self._numbers, self._of = world, numbers, of
        self._work = dist.all_reduce(numbers, async_op=True) if world.size > 1 else None

    def on_device(self) -> Tensor:
        """Return the sum for use on the current stream; with NCCL the stream waits for it, with gloo the host does."""
        if self._work is not None:
            status = self._world.status
            status.begin(f"all_reduce of {self._of}", in_collective=True)
            self._work.wait()
            self._work = None
            status.begin(f"the step after the all_reduce of {self._of}")
        return self._numbers

    def on_host(self) -> list[float]:
        """Return the sum, after waiting for it."""
        return [float(value) for value in self.on_device().tolist()]


def average_gradients(world: World, parameters: Sequence[nn.Parameter], of: str) -> None:
    """Replace each gradient by its mean over all ranks, as DDP does for the parameters of its module."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if world.size == 1 or not gradients:
        return
    whole = Sum(world, torch.cat([gradient.flatten() for gradient in gradients]), of).on_device() / world.size
    for gradient, part in zip(gradients, whole.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def broadcast_from_main(world: World, tensors: Sequence[Tensor], of: str = "BatchNorm statistics") -> None:
    """Broadcast each tensor from rank 0; `of` names them in status messages."""
    if world.size > 1:
        world.status.begin(f"broadcast of rank 0's {of}", in_collective=True)
        for tensor in tensors:
            dist.broadcast(tensor, src=0)
        world.status.begin(f"the step after the broadcast of rank 0's {of}")


def broadcast_statistics(world: World, tensors: Sequence[Tensor]) -> None:
    """Replace the floats among the tensors by those of rank 0, in one collective; counters stay."""
    floats = [tensor for tensor in tensors if tensor.is_floating_point()]
    if world.size == 1 or not floats:
        return
    whole = torch.cat([tensor.flatten() for tensor in floats])
    broadcast_from_main(world, [whole])
    for tensor, part in zip(floats, whole.split([tensor.numel() for tensor in floats]), strict=True):
        tensor.copy_(part.view_as(tensor))
