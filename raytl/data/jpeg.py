"""JPEG files that end too early: told apart by whether pixels are lost."""

from __future__ import annotations

import io

from PIL import Image, ImageChops

_START, _END = b"\xff\xd8\xff", b"\xff\xd9"
_NOISE = bytes((37 * i) % 251 for i in range(4096))
"""Bytes that no decoder takes for a run of empty blocks; none is 0xff, which begins a marker."""


def with_end(data: bytes) -> bytes | None:
    """Return the JPEG file with the end marker that it lacks; None where it is no JPEG file or pixels are lost.

    A decoder makes up the pixels that it lacks from the bytes behind: where those do not matter, none is lost.
    """
    if not data.startswith(_START):
        return None
    ended = data + _END
    first, second = (Image.open(io.BytesIO(each), formats=["JPEG"]) for each in (ended, data + _NOISE + _END))
    return ended if ImageChops.difference(first, second).getbbox() is None else None
