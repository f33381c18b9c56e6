"""Packs of prepared images on the node's disk: written once, found by content, and the least recently used leave first.

    <cache>/decoded/<preprocess key>/<pack>/pixels.bin   the images one after another
                                           /index.npy    a row of (digest, offset, height, width) for each
                                           /pack.json    sizes; its presence means that the pack is whole
                                   /build.lock           one process at a time builds what several ask for
                   /.lock                                held for the moment of a publication or an eviction
                   /.new-*                               being written, under its writer's lock

Every lock is an flock, which the kernel takes back when its holder dies: there are no stale ones. A pack in use is
held by a shared lock on its pack.json, so eviction passes it by.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raytl.errors import DataError
from raytl.store import lru
from raytl.store.cache import cache_root
from raytl.stored import Format
from raytl.stored.bounds import Count

ROW = np.dtype([("digest", "S64"), ("offset", "<i8"), ("height", "<i4"), ("width", "<i4")])
Index = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class _Sizes:
    """The bytes of a pack's pixels, and how many images they are."""

    bytes: Count
    images: Count


PACK_FORMAT = Format[_Sizes](_Sizes, "the sizes of a pack", "Delete its folder, and it is made again.", DataError)


class SharedLock:
    """A shared lock on a file, until this object and its copies in forked processes are gone. Raises: OSError."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(self.fd, fcntl.LOCK_SH)

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)


@dataclass(frozen=True)
class Pack:
    """A whole pack, protected from eviction as long as `lock` lives."""

    folder: Path
    index: Index
    lock: SharedLock = field(repr=False)

    @property
    def pixels(self) -> Path:
        """The file that the index points into."""
        return self.folder / "pixels.bin"

    def touch(self) -> None:
        """Notes that the pack was used just now."""
        with contextlib.suppress(OSError):  # a cache that another user owns is read all the same
            os.utime(self.folder / "pack.json")


def root() -> Path:
    """The folder of all packs of this node."""
    return cache_root() / "decoded"


def complete_packs(preprocess_key: str) -> Iterator[Pack]:
    """The whole packs of one preprocessing, each locked for use as long as the caller keeps it."""
    for path in sorted((root() / preprocess_key).glob("*/pack.json")):
        if (pack := _open(path.parent)) is not None:
            yield pack


def _open(folder: Path) -> Pack | None:
    """The pack locked for use, or None where it was evicted meanwhile or is damaged."""
    with contextlib.suppress(OSError, ValueError, DataError):  # evicted meanwhile, or cut short: as good as absent
        lock = SharedLock(folder / "pack.json")
        sizes = PACK_FORMAT.load(folder / "pack.json")
        index = np.load(folder / "index.npy")
        if (folder / "pixels.bin").stat().st_size == sizes.bytes and len(index) == sizes.images:
            return Pack(folder, index, lock)
    return None


@contextlib.contextmanager
def build_lock(preprocess_key: str) -> Iterator[None]:
    """Waits until no other process of the node builds packs of this preprocessing, then keeps them waiting."""
    folder = root() / preprocess_key
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "build.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _store_lock() -> Iterator[None]:
    """One process at a time changes which packs there are."""
    root().mkdir(parents=True, exist_ok=True)
    with (root() / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def evict_for(needed: int, limit: int) -> bool:
    """Evicts the least recently used packs until `needed` more bytes fit in `limit` and on the disk; False if they cannot."""
    with _store_lock():
        return _evict_for(needed, limit)


def _evict_for(needed: int, limit: int) -> bool:
    _remove_leftovers()
    entries = [lru.Entry(path.parent, _bytes(path.parent), _last_used(path)) for path in root().glob("*/*/pack.json")]

    def fits(total: int) -> bool:
        return total + needed <= limit and _fits_on_disk(needed)

    evicted = lru.evict(entries, fits, _evict)
    return fits(sum(entry.size_bytes for entry in entries) - sum(entry.size_bytes for entry in evicted))


def _last_used(marker: Path) -> float:
    try:
        return marker.stat().st_mtime
    except OSError:
        return 0.0


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _fits_on_disk(needed: int) -> bool:
    """A full disk breaks more than the cache: a twentieth of it stays free."""
    usage = shutil.disk_usage(root())
    return usage.free - needed > usage.total // 20


def _evict(folder: Path) -> bool:
    """Removes the pack unless a process uses it."""
    try:
        with (folder / "pack.json").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (folder / "pack.json").unlink()  # first: what is left of a broken removal is no pack any more
            shutil.rmtree(folder, ignore_errors=True)
            return True
    except OSError:
        return False


def _remove_leftovers() -> None:
    """Removes what dead writers and broken removals left."""
    for pixels in root().glob(".new-*/pixels.bin"):
        with contextlib.suppress(OSError), pixels.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(pixels.parent, ignore_errors=True)
    for folder in root().glob("*/*/"):
        if not (folder / "pack.json").exists():
            shutil.rmtree(folder, ignore_errors=True)


class PackWriter:
    """A pack in the making: images come from any thread in any order; nothing is seen of it before `publish`."""

    def __init__(self) -> None:
        with _store_lock():
            self._folder = root() / f".new-{secrets.token_hex(4)}"
            self._folder.mkdir()
            self._file = (self._folder / "pixels.bin").open("wb")
            fcntl.flock(self._file, fcntl.LOCK_EX)
        self._lock = threading.Lock()
        self.bytes = 0

    def write(self, pixels: NDArray[np.uint8]) -> tuple[int, int, int]:
        """Stores `(height, width, 3) uint8`; returns its (offset, height, width). Raises: OSError."""
        with self._lock:
            offset = self.bytes
            self.bytes += pixels.nbytes
        view = memoryview(pixels.tobytes())
        while len(view):
            written = os.pwrite(self._file.fileno(), view, offset + pixels.nbytes - len(view))
            view = view[written:]
        return offset, int(pixels.shape[0]), int(pixels.shape[1])

    def publish(self, preprocess_key: str, places: Mapping[str, tuple[int, int, int]], limit: int) -> bool:
        """Makes the images visible under their digests; False where there is no room for them. Raises: OSError."""
        index = np.array([(digest.encode(), *place) for digest, place in sorted(places.items())], dtype=ROW)
        name = hashlib.sha256(index["digest"].tobytes()).hexdigest()[:32]
        np.save(self._folder / "index.npy", index)
        _fsync(self._folder / "index.npy")
        os.fsync(self._file.fileno())
        sizes = {"bytes": self.bytes, "images": len(index)}
        with _store_lock():
            return _evict_for(self.bytes, limit) and self._move_to(root() / preprocess_key / name, json.dumps(sizes))

    def _move_to(self, final: Path, sizes: str) -> bool:
        if not (final / "pack.json").exists():  # else another process was faster, with the same images
            (self._folder / "pack.json").write_text(sizes)
            _fsync(self._folder / "pack.json")
            final.parent.mkdir(parents=True, exist_ok=True)
            self._folder.rename(final)
        return True

    def discard(self) -> None:
        """Removes what was not published; harmless after `publish`."""
        self._file.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _fsync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
