"""Which errors mean too little memory."""

from __future__ import annotations

import pytest
import torch

from raytl.errors import RaytlError
from raytl.out_of_memory import is_out_of_memory, memory_error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_memory_that_is_too_small_is_recognized(error: Exception) -> None:
    assert is_out_of_memory(error)
    text = str(memory_error(error))
    assert str(error) in text and "train.accumulate 2 or more" in text


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), RaytlError("out of memory"), OSError("out of memory")]
)
def test_other_errors_are_others(error: Exception) -> None:
    assert not is_out_of_memory(error)
    assert memory_error(error) is None
