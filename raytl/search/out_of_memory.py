"""Errors that mean too little memory, of this machine or of a GPU."""

from __future__ import annotations

import torch

_TEXTS = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
"""Of RuntimeErrors: torch's for CPU memory, CUDA's outside torch's allocator, and those of cuBLAS and cuDNN."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if memory was too small; a smaller batch or another device may help."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)
