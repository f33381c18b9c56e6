"""Copy numbers from the device to the host without waiting: the host reads them when it needs them, a step later."""

from __future__ import annotations

import functools
from typing import Protocol

import torch
from torch import Tensor

from raytl.training.collectives import Sum
from raytl.world import World


class Readback(Protocol):
    """Numbers on their way to the host."""

    def read(self) -> list[float]:
        """Return the numbers, after waiting until they are on the host."""
        ...


def start_readback(world: World, numbers: Tensor, of: str) -> Readback:
    """Start to sum `numbers (n,) float64` over the ranks and to copy them to the host; `of` names them in messages."""
    return _CudaReadback(world, numbers, of) if numbers.is_cuda else _HostReadback(world, numbers, of)


class _HostReadback:
    """The sum of numbers that are on the host already; gloo sums them in its own thread."""

    def __init__(self, world: World, numbers: Tensor, of: str) -> None:
        self._sum = Sum(world, numbers, of)

    def read(self) -> list[float]:
        return self._sum.on_host()


class _CudaReadback:
    """The sum of numbers on a GPU, copied to pinned memory on a stream of its own, so that the next step does not wait."""

    def __init__(self, world: World, numbers: Tensor, of: str) -> None:
        self._world, self._of = world, of
        stream = _copying(numbers.device)
        stream.wait_stream(torch.cuda.current_stream(numbers.device))
        summing = Sum(world, numbers, of)
        with torch.cuda.stream(stream):
            self._host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
            self._host.copy_(summing.on_device(), non_blocking=True)
            numbers.record_stream(stream)
            self._copied = torch.cuda.Event(blocking=True)  # else the host spins, on a core that the loader needs
            self._copied.record(stream)

    def read(self) -> list[float]:
        self._world.status.begin(f"the GPU's work up to {self._of}", in_collective=self._world.size > 1)
        self._copied.synchronize()
        return [float(value) for value in self._host.tolist()]


@functools.cache
def _copying(device: torch.device) -> torch.cuda.Stream:
    """Return the stream of copies to the host."""
    return torch.cuda.Stream(device)
