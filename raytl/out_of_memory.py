"""Errors that mean too little memory, of this machine or of a GPU, and their text for users."""

from __future__ import annotations

from raytl.errors import RaytlError, first_line

_TEXTS = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
"""Of RuntimeErrors: torch's for CPU memory and GPUs, CUDA's outside torch's allocator, and those of cuBLAS and cuDNN."""
_MAX_CHARACTERS = 300


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if memory was too small; a smaller batch or another device may help."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)


def memory_error(error: BaseException) -> RaytlError | None:
    """Return `error` as one for users, or None if it is not about memory."""
    if not is_out_of_memory(error):
        return None
    return RaytlError(
        f"out of memory ({first_line(error)[:_MAX_CHARACTERS]}); expected enough for one batch.\n"
        "  In training, train.accumulate 2 or more computes the same batch in smaller parts. Smaller batches, smaller images "
        "(model.preprocess.image_px), fewer data.loader_workers or a device with more memory also help."
    )
