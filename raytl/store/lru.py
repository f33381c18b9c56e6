"""Evict the least recently used entries of a cache folder; every cache of the node uses this one loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a cache: its path, its size and when it was last used, as seconds since the epoch."""

    path: Path
    size_bytes: int
    last_used: float


def evict(entries: Iterable[Entry], fits: Callable[[int], bool], remove: Callable[[Path], bool]) -> list[Entry]:
    """Remove entries, the least recently used first, until the total size in bytes `fits`; return those that were removed.

    `remove` returns False for an entry that is in use, which then stays.
    """
    oldest_first = sorted(entries, key=lambda entry: entry.last_used)
    total = sum(entry.size_bytes for entry in oldest_first)
    evicted = []
    for entry in oldest_first:
        if fits(total):
            break
        if remove(entry.path):
            total -= entry.size_bytes
            evicted.append(entry)
    return evicted
