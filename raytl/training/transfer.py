"""Move training batches to the device: to a GPU from pinned memory on a stream of its own, while the last step still runs.

The host does not wait: it is ahead of the GPU by a step (`step_log`), so the copy of a batch and the step before overlap.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from raytl.data.loader import Batch


@dataclass(frozen=True, slots=True)
class StepBatch:
    """One step's micro-batches of a rank, the size of the global batch, and `normalizer`, the sum of the objective's over
    the rank's targets, which is known before they are on the device; None if it is their count."""

    parts: tuple[Batch, ...]
    count: int
    normalizer: float | None


def moved(batches: Iterable[StepBatch], device: torch.device) -> Iterator[StepBatch]:
    """Yield the batches on `device`; on the CPU as they are. Ids stay on the host, where random numbers are drawn."""
    return _on_gpu(batches, device) if device.type == "cuda" else iter(batches)


def _on_gpu(batches: Iterable[StepBatch], device: torch.device) -> Iterator[StepBatch]:
    copying = _copying(device)
    for batch in batches:
        with torch.cuda.stream(copying):
            parts = tuple(_copied(part, device) for part in batch.parts)
        computing = torch.cuda.current_stream(device)
        computing.wait_stream(copying)
        for tensor in (tensor for part in parts for tensor in _tensors(part)):
            tensor.record_stream(computing)
        yield StepBatch(parts, batch.count, batch.normalizer)


@functools.cache
def _copying(device: torch.device) -> torch.cuda.Stream:
    """Return the stream of copies to the device: one for all epochs, because the allocator keeps memory for each stream."""
    return torch.cuda.Stream(device)


def _tensors(part: Batch) -> Iterator[Any]:
    """Yield the images and targets of a batch, and those of the sources beside it."""
    yield part.images
    if part.targets is not None:
        yield part.targets
    for other in part.beside.values():
        yield from _tensors(other)


def _copied(part: Batch, device: torch.device) -> Batch:
    images = _copy(part.images, device)
    targets = None if part.targets is None else _copy(part.targets, device)
    return Batch(images, part.ids, targets, {name: _copied(other, device) for name, other in part.beside.items()})


def on_device(values: Tensor, device: torch.device) -> Tensor:
    """Return `values` of the host on `device`, without waiting for it; on the CPU as they are."""
    copied: Tensor = _copy(values, device) if device.type == "cuda" else values
    return copied


def _copy(value: Any, device: torch.device) -> Any:
    """Start to copy images or targets (a tensor, or what has these methods of one) to `device`.

    A copy from pageable memory would wait for the device.
    """
    is_pinned = isinstance(value, Tensor) and value.is_pinned()
    return (value if is_pinned else value.pin_memory()).to(device, non_blocking=True)
