"""The feature cache on the node's disk: activations of a frozen network, computed once for all trials, memory-mapped and
bounded.

    <cache>/features/<key>/rows.bin     the rows, in the network's data type
                           card.json    their shape and type; written last, so a set that has it is complete
    <cache>/features/<key>.lock         locked shared while in use or built, exclusively while it is evicted
    <cache>/features/<key>.build        locked exclusively while it is built

Locks are flocks: the kernel releases them when their holder dies, and the next process that needs the set builds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raytl.disk import writing
from raytl.errors import DiskError, RunError
from raytl.run.atomic import write_json
from raytl.store import lru
from raytl.store.cache import cache_root
from raytl.stored import Format
from raytl.stored.bounds import within

_ROWS, _CARD = "rows.bin", "card.json"
_TYPES = {"torch.float32": (torch.float32, np.float32), "torch.bfloat16": (torch.bfloat16, np.uint16),
          "torch.float16": (torch.float16, np.float16)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _RowsCard:
    """The number of rows in a set, their width and their type."""

    count: Annotated[int, within(0, 10**10)]
    width: Annotated[int, within(1, 10**8)]
    type: Literal["torch.float32", "torch.bfloat16", "torch.float16"]


ROWS_FORMAT = Format[_RowsCard](_RowsCard, "the card of cached features", "Delete its folder; it is computed again.")

Fill = Callable[[], Iterator[Tensor]]
"""Yields the rows of a set, batch after batch, in order: each `(b, width)`."""


class Lock:
    """A lock file, shared or exclusive; released when this value, or its process, dies."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def acquire_shared(self) -> None:
        """Wait until no process holds it exclusively."""
        fcntl.flock(self._fd, fcntl.LOCK_SH)

    def try_shared(self) -> bool:
        """Lock without waiting; return False if another process holds it exclusively."""
        return self._try(fcntl.LOCK_SH)

    def acquire(self) -> None:
        """Wait until no other process holds it."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def try_exclusive(self) -> bool:
        """Lock without waiting; return False if another process holds it."""
        return self._try(fcntl.LOCK_EX)

    def _try(self, kind: int) -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
            return True
        return False

    def __del__(self) -> None:
        os.close(self._fd)


@dataclass(frozen=True)
class Rows:
    """A memory-mapped set of rows, `(n, width)`; not evicted while this value lives."""

    mapped: NDArray[Any]
    dtype: torch.dtype
    lock: Lock

    def take(self, ids: NDArray[np.int64]) -> Tensor:
        """Return a copy of the rows of `ids`, `(b, width)`."""
        rows = torch.from_numpy(self.mapped[ids])
        return rows.view(self.dtype) if rows.dtype != self.dtype else rows


def root() -> Path:
    """Return the folder of this node's sets."""
    return cache_root() / "features"


def ensure(key: str, count: int, fill: Fill, limit_bytes: float) -> Rows:
    """Return the set `key` of `count` rows; if there is none, one process builds it with `fill`, and others wait.

    Raises:
        DiskError: the disk is full.
    """
    root().mkdir(parents=True, exist_ok=True)
    lock = Lock(root() / f"{key}.lock")
    lock.acquire_shared()  # from here on it is not evicted
    while (rows := _open(key, lock)) is None:
        building = Lock(root() / f"{key}.build")  # a second lock, as users may hold the first one for hours
        building.acquire()
        if not (root() / key / _CARD).exists():
            _build(key, count, fill, limit_bytes)
        del building
    os.utime(root() / key / _CARD)
    return rows


def peek(key: str) -> Rows | None:
    """Return the set `key` if it is complete; build nothing, and wait for nobody."""
    if not (root() / key / _CARD).exists():
        return None
    lock = Lock(root() / f"{key}.lock")
    return _open(key, lock) if lock.try_shared() else None


def _open(key: str, lock: Lock) -> Rows | None:
    folder = root() / key
    if not (folder / _CARD).exists():
        return None
    card = ROWS_FORMAT.load(folder / _CARD)
    dtype, stored = _TYPES[card.type]
    shape = (card.count, card.width)
    try:
        return Rows(np.memmap(folder / _ROWS, dtype=stored, mode="r", shape=shape), dtype, lock)
    except (OSError, ValueError, OverflowError) as error:
        raise RunError(f"{folder / _ROWS}: cannot be read as {shape} rows ({error}). {ROWS_FORMAT.advice}") from error


def _build(key: str, count: int, fill: Fill, limit_bytes: float) -> None:
    folder = root() / key
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with writing(folder), (folder / _ROWS).open("wb") as file:
            card = _write(file, count, fill, limit_bytes)
        write_json(folder / _CARD, card)
    except DiskError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise DiskError(
            f"{error}\n  Or set RAYTL_CACHE to a larger disk, lower data.cache_limit_gb, or set search.feature_cache to off."
        ) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _write(file: IO[bytes], count: int, fill: Fill, limit_bytes: float) -> dict[str, Any]:
    written, width, dtype = 0, 0, ""
    for rows in fill():
        if not dtype:
            width, dtype = rows.shape[1], str(rows.dtype)
            make_room(count * width * rows.element_size(), limit_bytes)
        plain = rows.detach().cpu().contiguous()
        file.write((plain.view(torch.uint16) if plain.dtype == torch.bfloat16 else plain).numpy().tobytes())
        written += len(rows)
    assert written == count, f"{written} rows of {count}"
    return {"count": count, "width": width, "type": dtype}


def make_room(needed: float, limit_bytes: float) -> None:
    """Evict the least recently used sets that are not in use, until `needed` more bytes are within the limit."""
    guard = Lock(root() / ".lock")
    guard.acquire()
    entries = [
        lru.Entry(card.parent, (card.parent / _ROWS).stat().st_size, card.stat().st_mtime)
        for card in root().glob(f"*/{_CARD}")
    ]
    lru.evict(entries, lambda total: total + needed <= limit_bytes, _evict)


def _evict(folder: Path) -> bool:
    if not Lock(folder.with_name(f"{folder.name}.lock")).try_exclusive():
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return True
