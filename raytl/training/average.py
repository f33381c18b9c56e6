"""An exponential moving average of what learns, swapped in for evaluation (Polyak & Juditsky 1992)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


class WeightAverage:
    """Shadows of the learning parameters and of the buffers beside them; frozen tensors have none."""

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self.shadow: dict[str, Tensor] = {}

    def follow(self, tensors: Mapping[str, Tensor]) -> None:
        """Average these tensors from now on; those already followed keep their history."""
        for name, tensor in tensors.items():
            if name not in self.shadow:
                self.shadow[name] = tensor.detach().clone()

    @torch.no_grad()
    def update(self, tensors: Mapping[str, Tensor]) -> None:
        """Move every shadow towards its tensor; counters (integers) are copied."""
        for name, tensor in tensors.items():
            shadow = self.shadow[name]
            if shadow.is_floating_point():
                shadow.lerp_(tensor.detach(), 1.0 - self._decay)
            else:
                shadow.copy_(tensor)

    @contextlib.contextmanager
    def swapped_in(self, module: nn.Module) -> Iterator[None]:
        """Inside, `module` holds the averages; afterwards its own values again, to the bit."""
        own = module.state_dict()
        kept = {name: own[name].clone() for name in self.shadow}
        self._write(own, self.shadow)
        try:
            yield
        finally:
            self._write(own, kept)

    @staticmethod
    @torch.no_grad()
    def _write(state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            state[name].copy_(value)
