"""Skip the step of an optimizer on the device if fp16 gradients overflowed; GradScaler would ask the device and wait.

Fused optimizers of torch do this in their kernels. Others step with gradients of zero, and get their values back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


def skip_on_device(optimizer: Optimizer) -> Optimizer:
    """Let `optimizer` skip its step by `found_inf`, which a GradScaler sets; without a scaler nothing changes.

    Parameters and state on their device stay as they were. A counter on the host counts a skipped step, which corrects
    the bias of averages a little less; a state that the skipped step creates begins as from gradients of zero. A step with
    a scaler needs the memory of a copy of both.
    """
    if not getattr(optimizer, "_step_supports_amp_scaling", False):
        skipped = _Skipped()
        optimizer._step_supports_amp_scaling = True  # type: ignore[attr-defined]  # GradScaler then sets `found_inf`
        optimizer.register_step_pre_hook(skipped.begin)
        optimizer.register_step_post_hook(skipped.end)
    return optimizer


@dataclass
class _Skipped:
    """A step that may be skipped: `overflow` is above 0 if it is, `()`; `tensors` are restored to `values` then."""

    overflow: Tensor | None = None
    tensors: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)

    @torch.no_grad()
    def begin(self, optimizer: Optimizer, *_: Any) -> None:
        self.overflow = getattr(optimizer, "found_inf", None)
        if self.overflow is None:
            return
        optimizer.found_inf = optimizer.grad_scale = None  # type: ignore[attr-defined]  # torch's own accept nothing else
        parameters = [each for group in optimizer.param_groups for each in group["params"] if each.grad is not None]
        for parameter in parameters:
            parameter.grad.masked_fill_(self.overflow > 0, 0.0)
        states = [value for each in parameters for value in _tensors(optimizer.state.get(each, {}))]
        self.tensors = parameters + [each for each in states if _is_beside(each, self.overflow)]
        self.values = [tensor.detach().clone() for tensor in self.tensors]

    @torch.no_grad()
    def end(self, *_: Any) -> None:
        if self.overflow is not None and self.tensors:
            skipped = (self.overflow > 0).float()
            torch._foreach_mul_(self.tensors, 1.0 - skipped)
            torch._foreach_mul_(self.values, skipped)
            torch._foreach_add_(self.tensors, self.values)
        self.overflow, self.tensors, self.values = None, [], []


def _tensors(value: Any) -> list[Tensor]:
    """Return the tensors in the state of a parameter."""
    if isinstance(value, Tensor):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for each in inner for tensor in _tensors(each)]


def _is_beside(tensor: Tensor, overflow: Tensor) -> bool:
    return tensor.device == overflow.device and tensor.is_floating_point()
