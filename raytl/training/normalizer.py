"""The divisor of the summed loss of a global batch, added up over the ranks while the network runs forward."""

from __future__ import annotations

import torch
from torch import Tensor

from raytl.training.collectives import Sum
from raytl.training.transfer import StepBatch
from raytl.world import World


class Normalizer:
    """The number that the loss of `batch` is divided by, the same on all ranks; starts to add it up when it is made.

    It is the size of the global batch, or what the objective counts in the targets, at least 1.
    """

    def __init__(self, world: World, device: torch.device, batch: StepBatch) -> None:
        self._own = batch.count if batch.normalizer is None else max(1.0, batch.normalizer)
        self._sum: Sum | None = None
        if batch.normalizer is not None and world.size > 1:
            number = torch.full((), batch.normalizer, dtype=torch.float64, device=device)
            self._sum = Sum(world, number, "the normalizer of the loss")

    def total(self) -> float | Tensor:
        """Return it: a number if this rank knows it, else `() float64` on the device."""
        return self._own if self._sum is None else self._sum.on_device().clamp(min=1.0)

    def factor(self, numerator: int) -> float | Tensor:
        """Return `numerator` divided by it, to multiply a loss with: a number or `() float32`."""
        ratio = numerator / self.total()
        return ratio.float() if isinstance(ratio, Tensor) else ratio
