"""Keep pulled files as they are while a process reads them, by a lock that the kernel releases when it dies.

A pin (`raytl.store.pins`) only keeps a folder from eviction; it stays until its process ends, also if all images are cached.
"""

from __future__ import annotations

import fcntl
import gc
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from raytl.store.pulled import Place


class SharedLock:
    """A shared lock on a file, held until this object and its copies in forked processes are gone. Raises: OSError."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(self.fd, fcntl.LOCK_SH)

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)


def reading(places: Iterable[Place]) -> list[SharedLock]:
    """Return locks that keep pulls from replacing or deleting files of these places as long as they live."""
    locks = []
    for place in places:
        with suppress(
            OSError
        ):  # of an earlier version, or of another user: a replaced file is an error when it is read
            locks.append(SharedLock(place.readers))
    return locks


def is_read(place: Place) -> bool:
    """Return whether a process holds a lock of `reading` now."""
    if not _is_locked(place):
        return False
    gc.collect()  # sets of images that this process no longer uses hold theirs until they are collected
    return _is_locked(place)


def _is_locked(place: Place) -> bool:
    with place.readers.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
