"""Keep small constants on the device: to copy them there in each step, the host would wait for the device."""

from __future__ import annotations

import functools

import torch
from torch import Tensor


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return `values (n,)` on `device`; the tensor is shared, so do not write to it."""
    return torch.tensor(values, dtype=dtype, device=device)
