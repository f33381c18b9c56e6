"""Store packs of prepared images on the node's disk: written once, found by content, evicted least recently used first.

    <cache>/decoded/<preprocess key>/<pack>/pixels.bin   the images one after another
                                           /index.npy    a row of (digest, offset, height, width) for each
                                           /pack.json    sizes; its presence marks the pack as complete
                                   /build.lock           one process at a time builds what several need
                   /.lock                                held briefly during publication and eviction
                   /.new-*                               in progress, locked by its writer

Every lock is an flock, which the kernel releases when its holder dies, so no lock is ever stale. A pack in use has a
shared lock on its pack.json, so eviction skips it.
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
from raytl.store.readers import SharedLock
from raytl.stored import Format
from raytl.stored.bounds import Count

ROW = np.dtype([("digest", "S64"), ("offset", "<i8"), ("height", "<i4"), ("width", "<i4")])
Index = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class _Sizes:
    """The bytes of a pack's pixels and its number of images."""

    bytes: Count
    images: Count


PACK_FORMAT = Format[_Sizes](_Sizes, "the sizes of a pack", "Delete its folder; it is rebuilt.", DataError)


@dataclass(frozen=True)
class Pack:
    """A complete pack, protected from eviction as long as `lock` lives."""

    folder: Path
    index: Index
    lock: SharedLock = field(repr=False)

    @property
    def pixels(self) -> Path:
        """Return the file that the index points into."""
        return self.folder / "pixels.bin"

    def touch(self) -> None:
        """Mark the pack as used just now."""
        with contextlib.suppress(OSError):  # a cache owned by another user is still readable
            os.utime(self.folder / "pack.json")


def root() -> Path:
    """Return the folder of all packs of this node."""
    return cache_root() / "decoded"


def complete_packs(preprocess_key: str) -> Iterator[Pack]:
    """Yield the complete packs of one preprocessing, each locked for as long as the caller keeps it."""
    for path in sorted((root() / preprocess_key).glob("*/pack.json")):
        if (pack := _open(path.parent)) is not None:
            yield pack


def _open(folder: Path) -> Pack | None:
    """Return the pack locked for use, or None if it was evicted meanwhile or is damaged."""
    with contextlib.suppress(OSError, ValueError, DataError):  # evicted meanwhile or truncated: treated as absent
        lock = SharedLock(folder / "pack.json")
        sizes = PACK_FORMAT.load(folder / "pack.json")
        index = np.load(folder / "index.npy")
        if (folder / "pixels.bin").stat().st_size == sizes.bytes and len(index) == sizes.images:
            return Pack(folder, index, lock)
    return None


@contextlib.contextmanager
def build_lock(preprocess_key: str) -> Iterator[None]:
    """Hold the right to build packs of this preprocessing; other processes of the node wait for it."""
    folder = root() / preprocess_key
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "build.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _store_lock() -> Iterator[None]:
    """Hold the right to add or remove packs; one process at a time."""
    root().mkdir(parents=True, exist_ok=True)
    with (root() / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def evict_for(needed: int, limit: int) -> bool:
    """Evict the least recently used packs until `needed` more bytes fit in `limit` and on the disk; return False if they cannot."""
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
    """Return whether the bytes fit and leave 5 % of the disk free: a full disk breaks more than the cache."""
    usage = shutil.disk_usage(root())
    return usage.free - needed > usage.total // 20


def _evict(folder: Path) -> bool:
    """Remove the pack unless a process uses it; return whether it was removed."""
    try:
        with (folder / "pack.json").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (folder / "pack.json").unlink()  # first, so that an interrupted removal leaves no pack
            shutil.rmtree(folder, ignore_errors=True)
            return True
    except OSError:
        return False


def _remove_leftovers() -> None:
    """Remove leftovers of dead writers and interrupted removals."""
    for pixels in root().glob(".new-*/pixels.bin"):
        with contextlib.suppress(OSError), pixels.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(pixels.parent, ignore_errors=True)
    for folder in root().glob("*/*/"):
        if not (folder / "pack.json").exists():
            shutil.rmtree(folder, ignore_errors=True)


class PackWriter:
    """A pack being written: images come from any thread in any order; it is invisible until `publish`."""

    def __init__(self) -> None:
        with _store_lock():
            self._folder = root() / f".new-{secrets.token_hex(4)}"
            self._folder.mkdir()
            self._file = (self._folder / "pixels.bin").open("wb")
            fcntl.flock(self._file, fcntl.LOCK_EX)
        self._lock = threading.Lock()
        self.bytes = 0

    def write(self, pixels: NDArray[np.uint8]) -> tuple[int, int, int]:
        """Store `(height, width, channels) uint8`; return its (offset, height, width). Raises: OSError."""
        with self._lock:
            offset = self.bytes
            self.bytes += pixels.nbytes
        view = memoryview(pixels.tobytes())
        while len(view):
            written = os.pwrite(self._file.fileno(), view, offset + pixels.nbytes - len(view))
            view = view[written:]
        return offset, int(pixels.shape[0]), int(pixels.shape[1])

    def publish(self, preprocess_key: str, places: Mapping[str, tuple[int, int, int]], limit: int) -> bool:
        """Make the images visible under their digests; return False if they do not fit. Raises: OSError."""
        index = np.array([(digest.encode(), *place) for digest, place in sorted(places.items())], dtype=ROW)
        name = hashlib.sha256(index["digest"].tobytes()).hexdigest()[:32]
        np.save(self._folder / "index.npy", index)
        _fsync(self._folder / "index.npy")
        os.fsync(self._file.fileno())
        sizes = {"bytes": self.bytes, "images": len(index)}
        with _store_lock():
            return _evict_for(self.bytes, limit) and self._move_to(root() / preprocess_key / name, json.dumps(sizes))

    def _move_to(self, final: Path, sizes: str) -> bool:
        if not (final / "pack.json").exists():  # else another process published the same images first
            (self._folder / "pack.json").write_text(sizes)
            _fsync(self._folder / "pack.json")
            final.parent.mkdir(parents=True, exist_ok=True)
            self._folder.rename(final)
        return True

    def discard(self) -> None:
        """Remove unpublished files; harmless after `publish`."""
        self._file.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _fsync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
