"""JPEG files: what they cost to decode, by their markers, and those that end too early.

A decoder that runs in a thread cannot be stopped, so what an image may hold bounds its time. A scan goes over all pixels once,
however few bytes it has: 100 scans of 64 megapixels take 4 to 7 s of one core where they are nearly empty.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

from PIL import Image, ImageChops

from raytl.data.bad_image import BadImage

MOST_SCANS = 100
"""Encoders write 1 (baseline), 6 to 10 (progressive) and up to 18 (CMYK); libtiff has the same bound."""
MOST_HEADER_BYTES = 1 << 25
"""Colour profiles have 16 MB at most; photo editors write a few MB more."""
MOST_SEGMENTS = 4096

_START, _END = b"\xff\xd8\xff", b"\xff\xd9"
_NOISE = bytes((37 * i) % 251 for i in range(4096))
"""Bytes that no decoder takes for a run of empty blocks; none is 0xff, which begins a marker."""

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA


@dataclass(frozen=True, slots=True)
class Markers:
    """What the markers of a JPEG file say: how many scans it has, and whether its end is there."""

    scans: int
    has_end: bool


def markers(data: bytes) -> Markers | None:
    """Return what the markers of a JPEG file say, up to its end; None of any other file.

    Raises:
        BadImage: it has more scans, segments or bytes before its pixels than a photo has.
    """
    if not data.startswith(_START):
        return None
    at, scans, segments, header = 2, 0, 0, 0
    while found := _MARKER.search(data, at):
        kind, at = data[found.start() + 1], found.end()
        if kind == _EOI:
            return Markers(scans, has_end=True)
        if kind == _SOI:
            continue
        size = int.from_bytes(data[at : at + 2])
        at += size
        segments += 1
        scans += kind == _SOS
        header += 0 if scans else size
        _refuse(scans, segments, header)
    return Markers(scans, has_end=False)


def _refuse(scans: int, segments: int, header: int) -> None:
    if scans > MOST_SCANS:
        raise BadImage(f"a JPEG of more than {MOST_SCANS} scans; expected about 10. Save it again")
    if header > MOST_HEADER_BYTES or segments > MOST_SEGMENTS:
        raise BadImage(
            f"a JPEG of {segments:,} segments, {header:,} bytes before its pixels; expected at most {MOST_SEGMENTS:,} and "
            f"{MOST_HEADER_BYTES:,}. Save it again"
        )


def with_end(data: bytes) -> bytes | None:
    """Return the JPEG file with the end marker that it lacks; None where it is no JPEG file or pixels are lost.

    A decoder makes up the pixels that it lacks from the bytes behind: where those do not matter, none is lost.
    """
    if not data.startswith(_START):
        return None
    ended = data + _END
    first, second = (Image.open(io.BytesIO(each), formats=["JPEG"]) for each in (ended, data + _NOISE + _END))
    return ended if ImageChops.difference(first, second).getbbox() is None else None
