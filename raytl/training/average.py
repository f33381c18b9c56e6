"""An exponential moving average of the trainable weights, swapped in for evaluation (Polyak & Juditsky 1992)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


class WeightAverage:
    """Averages (`shadow`) of the trainable parameters and their buffers; frozen tensors have none."""

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self.shadow: dict[str, Tensor] = {}

    def track(self, tensors: Mapping[str, Tensor]) -> None:
        """Start to average these tensors; those already tracked keep their history."""
        for name, tensor in tensors.items():
            if name not in self.shadow:
                self.shadow[name] = tensor.detach().clone()

    @torch.no_grad()
    def update(self, tensors: Mapping[str, Tensor]) -> None:
        """Update every average with its tensor; copy counters (integers)."""
        for name, tensor in tensors.items():
            shadow = self.shadow[name]
            if shadow.is_floating_point():
                shadow.lerp_(tensor.detach(), 1.0 - self._decay)
            else:
                shadow.copy_(tensor)

    @contextlib.contextmanager
    def swapped_in(self, module: nn.Module) -> Iterator[None]:
        """Put the averages into `module` for the duration of the context, then restore its own values exactly."""
        own = module.state_dict()
        original = {name: own[name].clone() for name in self.shadow}
        self._write(own, self.shadow)
        try:
            yield
        finally:
            self._write(own, original)

    @staticmethod
    @torch.no_grad()
    def _write(state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            state[name].copy_(value)
