"""Activations of a frozen network on the node's disk, shared by all trials: computed once, mapped into memory, bounded.

    <cache>/features/<key>/rows.bin     the rows, in the type that the network computed
                           card.json    their shape and type; written last, so that a set that has it is whole
    <cache>/features/<key>.lock         held shared while in use or built, alone while it is evicted
    <cache>/features/<key>.build        held alone while it is built

Locks are flocks: the kernel takes them back when their holder dies, and the next one who wants the set builds it.
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
    """How many rows a set has, how wide they are, and their type."""

    count: Annotated[int, within(0, 10**10)]
    width: Annotated[int, within(1, 10**8)]
    type: Literal["torch.float32", "torch.bfloat16", "torch.float16"]


ROWS_FORMAT = Format[_RowsCard](_RowsCard, "the card of cached features", "Delete its folder, and it is made again.")

Fill = Callable[[], Iterator[Tensor]]
"""Makes the rows of a set, batch after batch, in order: each `(b, width)`."""


class Lock:
    """A file that processes lock, shared or alone; let go of when this value, or its process, dies."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def shared(self) -> None:
        """Wait until nobody holds it alone."""
        fcntl.flock(self._fd, fcntl.LOCK_SH)

    def shared_at_once(self) -> bool:
        """True when nobody holds it alone."""
        return self._at_once(fcntl.LOCK_SH)

    def alone(self) -> None:
        """Wait until nobody else holds it."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def alone_at_once(self) -> bool:
        """True when nobody else holds it."""
        return self._at_once(fcntl.LOCK_EX)

    def _at_once(self, kind: int) -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
            return True
        return False

    def __del__(self) -> None:
        os.close(self._fd)


@dataclass(frozen=True)
class Rows:
    """A set of rows, `(n, width)`, in memory-mapped storage; not evicted as long as this value lives."""

    mapped: NDArray[Any]
    kind: torch.dtype
    lock: Lock

    def take(self, ids: NDArray[np.int64]) -> Tensor:
        """The rows of `ids`, `(b, width)`, a copy."""
        found = torch.from_numpy(self.mapped[ids])
        return found.view(self.kind) if found.dtype != self.kind else found


def root() -> Path:
    """Where the sets of this node lie."""
    return cache_root() / "features"


def ensure(key: str, count: int, fill: Fill, limit_bytes: float) -> Rows:
    """The set called `key`, of `count` rows, built by `fill` where it is not there; by one process though many ask.

    Raises:
        DiskError: the disk is full.
    """
    root().mkdir(parents=True, exist_ok=True)
    lock = Lock(root() / f"{key}.lock")
    lock.shared()  # nobody evicts it from here on
    while (found := _opened(key, lock)) is None:
        building = Lock(root() / f"{key}.build")  # held by nobody who only uses the set: they may do so for hours
        building.alone()
        if not (root() / key / _CARD).exists():
            _build(key, count, fill, limit_bytes)
        del building
    os.utime(root() / key / _CARD)
    return found


def peek(key: str) -> Rows | None:
    """The set called `key` where it is there and whole; nothing is built, and nobody is waited for."""
    if not (root() / key / _CARD).exists():
        return None
    lock = Lock(root() / f"{key}.lock")
    return _opened(key, lock) if lock.shared_at_once() else None


def _opened(key: str, lock: Lock) -> Rows | None:
    folder = root() / key
    if not (folder / _CARD).exists():
        return None
    card = ROWS_FORMAT.load(folder / _CARD)
    kind, stored = _TYPES[card.type]
    shape = (card.count, card.width)
    try:
        return Rows(np.memmap(folder / _ROWS, dtype=stored, mode="r", shape=shape), kind, lock)
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
    written, width, kind = 0, 0, ""
    for rows in fill():
        if not kind:
            width, kind = rows.shape[1], str(rows.dtype)
            make_room(count * width * rows.element_size(), limit_bytes)
        plain = rows.detach().cpu().contiguous()
        file.write((plain.view(torch.uint16) if plain.dtype == torch.bfloat16 else plain).numpy().tobytes())
        written += len(rows)
    assert written == count, f"{written} rows of {count}"
    return {"count": count, "width": width, "type": kind}


def make_room(needed: float, limit_bytes: float) -> None:
    """Drop the sets that were used longest ago, but none in use, until `needed` bytes more stay within the bound."""
    guard = Lock(root() / ".lock")
    guard.alone()
    entries = [
        lru.Entry(card.parent, (card.parent / _ROWS).stat().st_size, card.stat().st_mtime)
        for card in root().glob(f"*/{_CARD}")
    ]
    lru.evict(entries, lambda total: total + needed <= limit_bytes, _evicted)


def _evicted(folder: Path) -> bool:
    if not Lock(folder.with_name(f"{folder.name}.lock")).alone_at_once():
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return True
