"""The C library's allocator, told to keep what is freed: a training step asks for the same tensors again and again."""

from __future__ import annotations

import ctypes
import ctypes.util
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_KEEP_BYTES = 2**31 - 1
_GROW_BYTES = 64 * 2**20


def keep_freed_memory() -> None:
    """Ask glibc to hand no memory back to the system between steps; nothing where there is no glibc.

    By default each large tensor is a mapping of its own, made, faulted in page by page and unmapped in every step:
    a quarter of the time of a training step on CPU here, for a tenth more memory without (experiments/LOG.md).
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(ctypes.util.find_library("c"))
    mallopt = getattr(libc, "mallopt", None)
    if mallopt is None:
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
    mallopt(_M_TOP_PAD, _GROW_BYTES)
