"""Bound the memory of images that threads decode at the same time: each waits until its pixels and their copies fit."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from PIL.ImageFile import ImageFile

from raytl.data.jpeg import Markers

LEAST_BYTES = 1 << 30
_PART_OF_MEMORY = 16
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where a container's bound of memory is, in versions 2 and 1 of cgroups."""

# Measured peaks of decode, turning upright and the conversion to RGB, rounded up.
_DEEP_COLOUR, _DEEP_GREY, _FLOATS = 42, 12, 28
_PLAIN, _TRANSPARENT, _SEVERAL_SCANS, _TORN_JPEG = 8, 22, 12, 20
_BY_FORMAT = {"JPEG2000": 25, "WEBP": 17, "AVIF": 16, "HEIF": 16}


class PixelMemory:
    """A number of bytes that threads share; first come, first served, so that a large image is not passed by for ever."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self._changed = threading.Condition()
        self._turn = threading.Lock()

    @contextmanager
    def reserved(self, count: int) -> Iterator[None]:
        """Hold so many bytes, once they are free; more than there are at all, once nobody else holds any.

        A thread that holds some and asks for more may wait for ever.
        """
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self.used == 0 or self.used + count <= self.most)
            self.used += count
        try:
            yield
        finally:
            with self._changed:
                self.used -= count
                self._changed.notify_all()


def bytes_a_pixel(image: ImageFile, jpeg: Markers | None) -> int:
    """Return the memory that an opened image needs at its peak, in bytes a pixel; `jpeg` are its markers if it is one."""
    if image.mode.startswith(("I", "F")):
        return _FLOATS if image.mode == "F" else _DEEP_GREY
    if image.tile and ";16" in str(image.tile[0].args):
        return _DEEP_COLOUR
    rate = _BY_FORMAT.get(image.format or "", _PLAIN)
    if jpeg is not None and (jpeg.scans > 1 or not jpeg.has_end):
        rate = _SEVERAL_SCANS if jpeg.has_end else _TORN_JPEG
    return max(rate, _TRANSPARENT) if image.has_transparency_data or image.mode in ("La", "RGBa") else rate


def _machine_bytes() -> int:
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for place in _LIMITS:
        try:
            found.append(int(Path(place).read_text()))
        except (OSError, ValueError):  # none there, or "max"
            continue
    return min(found)


def _new() -> PixelMemory:
    return PixelMemory(max(LEAST_BYTES, _machine_bytes() // _PART_OF_MEMORY))


_shared = _new()


def _begin_anew() -> None:
    """In a forked process: whoever held the locks is not here."""
    global _shared
    _shared = PixelMemory(_shared.most)


os.register_at_fork(after_in_child=_begin_anew)


def reserved(count: int) -> AbstractContextManager[None]:
    """Hold so many of this process's bytes for decoded images."""
    return _shared.reserved(count)
