"""Pulled and unpacked datasets and tables of samples of this node: pinned while a process uses them, evicted least recently used first.

<cache>/pulled/<place>/       <cache>/pulled/<place>.used       shared lock, held by each process that uses the folder
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

from raytl.store import lru
from raytl.store.cache import cache_root
from raytl.store.drafts import drafted, sweep

_KINDS = ("pulled", "unpacked", "samples")
_pins: dict[Path, int] = {}
"""Open locks by folder; the kernel releases them when the process ends."""


def pin(place: Path) -> None:
    """Protect `place` from eviction until this process ends; call this before reading from it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    _sweep_once(place.parent)
    while place not in _pins or not _is_file_of(_pins[place], place):  # the place may have been removed meanwhile
        if (removed := _pins.pop(place, None)) is not None:
            os.close(removed)
        handle = os.open(_used(place), os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(handle, fcntl.LOCK_SH)
        _pins[place] = handle
    os.utime(_used(place))


def unpin(place: Path) -> None:
    """Remove the pin of `place`, and `place` itself, which only this process uses."""
    shutil.rmtree(place, ignore_errors=True)
    _used(place).unlink(missing_ok=True)
    if (handle := _pins.pop(place, None)) is not None:
        os.close(handle)


def release(place: Path) -> None:
    """Remove the pin of this process, and `place` itself unless another process has pinned it."""
    if (handle := _pins.pop(place, None)) is not None:
        os.close(handle)
        _remove_unpinned(place)


def sweep_out(kind: str) -> None:
    """Remove the folders of a kind that no live process has pinned."""
    for place in _places(cache_root() / kind):
        _remove_unpinned(place)


def pin_paths(paths: Iterable[str]) -> None:
    """Pin the folders of the cache that contain these files."""
    kinds = [cache_root() / kind for kind in _KINDS]
    places = {
        root / Path(path).relative_to(root).parts[0]
        for path in paths
        for root in kinds
        if Path(path).is_relative_to(root)
    }
    for place in places:
        pin(place)


def evict(limit_bytes: int) -> list[Path]:
    """Remove the least recently used places until the others fit, except those in use; return the removed ones."""
    return _evict(_entries(), lambda total: total <= limit_bytes)


def make_room(needed_bytes: int) -> list[Path]:
    """If the disk has too little space for so many bytes, remove the least recently used places until they fit, except those in
    use; return the removed ones. If all places together are too small, none is removed."""
    lacking = needed_bytes - shutil.disk_usage(cache_root()).free
    if lacking <= 0:
        return []
    entries = _entries()
    whole = sum(entry.size_bytes for entry in entries)
    return _evict(entries, lambda total: total <= whole - lacking) if whole >= lacking else []


def _entries() -> list[lru.Entry]:
    places = [place for kind in _KINDS for place in _places(cache_root() / kind)]
    places += (cache_root() / "samples").glob("*.arrow")  # of earlier versions, which used no folders and no pins
    return [lru.Entry(place, _bytes(place), _last_used(place)) for place in places]


def _evict(entries: list[lru.Entry], fits: Callable[[int], bool]) -> list[Path]:
    return [entry.path for entry in lru.evict(entries, fits, _remove_unpinned)]


def _is_file_of(handle: int, place: Path) -> bool:
    """Return whether an open file is the one that is locked to pin `place`, and not a removed one of the same name."""
    try:
        return os.path.samestat(os.fstat(handle), _used(place).stat())
    except FileNotFoundError:
        return False


def _remove_unpinned(place: Path) -> bool:
    """Remove `place` and the file of its pins, unless a process holds one; return whether they were removed."""
    if place.is_file():
        place.unlink(missing_ok=True)
        return True
    with _used(place).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if not _is_file_of(file.fileno(), place):  # another process removed and used it meanwhile
            return False
        with drafted(place, folder=True) as gone:
            place.rename(gone)  # atomic, so that a partial folder never looks whole
            _used(place).unlink()  # still locked, so a process that waits to pin the place sees that the file is gone
        return True


@cache
def _sweep_once(folder: Path) -> None:
    """Remove the drafts of killed processes in `folder`."""
    sweep(folder, deep=False)


def _places(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."] if folder.is_dir() else []


def _used(place: Path) -> Path:
    return place.with_name(f"{place.name}.used")


def _last_used(place: Path) -> float:
    used = _used(place)
    return used.stat().st_mtime if used.exists() else 0.0


def _bytes(place: Path) -> int:
    if place.is_file():
        return place.stat().st_size
    total = 0
    for folder, _, names in os.walk(place):
        for name in names:
            with suppress(OSError):  # another process removed it just now
                total += os.stat(f"{folder}/{name}").st_size  # noqa: PTH116 - a path object costs ten times the call
    return total
