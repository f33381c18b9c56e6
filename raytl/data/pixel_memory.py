"""Bound the memory of concurrently decoded images: each thread waits until its pixels and their copies fit."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from PIL.ImageFile import ImageFile

from raytl.data.bad_image import BadImage
from raytl.data.jpeg import Markers

MIN_BYTES = 1 << 30
_PART_OF_MEMORY = 16
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""The memory limit of a container, in cgroups v2 and v1."""

# Measured peaks of decoding, EXIF rotation and conversion to RGB, rounded up.
_DEEP_COLOR, _DEEP_GRAY, _FLOATS = 42, 12, 28
_PLAIN, _TRANSPARENT, _SEVERAL_SCANS, _TRUNCATED_JPEG = 8, 22, 12, 20
_BY_FORMAT = {"JPEG2000": 25, "WEBP": 17, "AVIF": 16, "HEIF": 16}


class PixelMemory:
    """A byte budget shared by threads; first come, first served, so that a large image does not starve."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used = 0
        self._changed = threading.Condition()
        self._turn = threading.Lock()

    @contextmanager
    def reserved(self, count: int) -> Iterator[None]:
        """Reserve `count` bytes once they are free, or, if that exceeds the limit, once no other thread holds any.

        A thread that reserves again while it holds bytes may deadlock.
        """
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self.used == 0 or self.used + count <= self.limit_bytes)
            self.used += count
        try:
            yield
        finally:
            with self._changed:
                self.used -= count
                self._changed.notify_all()


def bytes_a_pixel(image: ImageFile, jpeg: Markers | None) -> int:
    """Return the peak memory of an opened image in bytes per pixel; `jpeg` has its markers if it is one."""
    if image.mode.startswith(("I", "F")):
        return _FLOATS if image.mode == "F" else _DEEP_GRAY
    if image.tile and ";16" in str(image.tile[0].args):
        return _DEEP_COLOR
    rate = _BY_FORMAT.get(image.format or "", _PLAIN)
    if jpeg is not None and (jpeg.scans > 1 or not jpeg.has_end):
        rate = _SEVERAL_SCANS if jpeg.has_end else _TRUNCATED_JPEG
    return max(rate, _TRANSPARENT) if image.has_transparency_data or image.mode in ("La", "RGBa") else rate


def machine_bytes() -> int:
    """Return the memory of this machine, or of the container if that is less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _LIMITS:
        try:
            limits.append(int(Path(path).read_text()))
        except (OSError, ValueError):  # missing, or "max"
            continue
    return min(limits)


def _new() -> PixelMemory:
    return PixelMemory(max(MIN_BYTES, machine_bytes() // _PART_OF_MEMORY))


_shared = _new()


def _reset() -> None:
    """Start afresh in a forked process, where the threads that held the locks do not exist."""
    global _shared
    _shared = PixelMemory(_shared.limit_bytes)


os.register_at_fork(after_in_child=_reset)


def reserved(count: int, limit: int | None = None) -> AbstractContextManager[None]:
    """Reserve `count` bytes of this process's budget for decoded images.

    Raises:
        BadImage: that is more than `limit`.
    """
    if limit is not None and count > limit:
        raise BadImage(
            f"it takes {count / 1e9:.1f} GB of memory; expected {limit / 1e9:.1f} GB at most. Send it smaller"
        )
    return _shared.reserved(count)
