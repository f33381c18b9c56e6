"""Estimate the decoding cost of JPEG files from their markers, and repair those that end too early.

A decoder that runs in a thread cannot be stopped, so the content of an image is bounded instead of its time. A scan visits all
pixels once, however few bytes it has: 100 nearly empty scans of 64 megapixels take 4 to 7 s on one core.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

from PIL import Image, ImageChops

from raytl.data.bad_image import BadImage

MAX_SCANS = 100
"""Encoders write 1 (baseline), 6 to 10 (progressive) and up to 18 (CMYK); libtiff has the same bound."""
MAX_HEADER_BYTES = 1 << 25
"""Color profiles have at most 16 MB; photo editors write a few MB more."""
MAX_SEGMENTS = 4096

_START, _END = b"\xff\xd8\xff", b"\xff\xd9"
_NOISE = bytes((37 * i) % 251 for i in range(4096))
"""Bytes that no decoder mistakes for a run of empty blocks; none is 0xff, which starts a marker."""

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_TEM, _SOI, _EOI, _SOS = 0x01, 0xD8, 0xD9, 0xDA
_SOF = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
"""The start of a frame: of JPEG, but for three other markers of this range, and of JPEG-LS."""


@dataclass(frozen=True, slots=True)
class Markers:
    """The number of scans of a JPEG file, and whether its end marker is present."""

    scans: int
    has_end: bool


def markers(data: bytes) -> Markers | None:
    """Return the markers of a JPEG file up to its end; None for any other file.

    Raises:
        BadImage: it has more scans, segments or bytes before its pixels than a photo.
    """
    if not data.startswith(_START):
        return None
    at, scans, segments, header = 2, 0, 0, 0
    while match := _MARKER.search(data, at):
        kind, at = data[match.start() + 1], match.end()
        if kind == _EOI:
            return Markers(scans, has_end=True)
        if kind == _SOI:
            continue
        size = int.from_bytes(data[at : at + 2])
        at += size
        segments += 1
        scans += kind == _SOS
        header += 0 if scans else size
        _check(scans, segments, header)
    return Markers(scans, has_end=False)


def declared_size(data: bytes) -> tuple[int, int, int] | None:
    """Return the (width, height, components) of a JPEG or JPEG-LS file of any precision; None for any other file."""
    at = 2 if data.startswith(_START) else len(data)
    while match := _MARKER.search(data, at):
        kind, at = data[match.start() + 1], match.end()
        if kind in _SOF and at + 8 <= len(data):
            return int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 3 : at + 5]), data[at + 7]
        if kind in (_SOS, _EOI):
            return None
        if kind not in (_SOI, _TEM):
            at += int.from_bytes(data[at : at + 2])
    return None


def _check(scans: int, segments: int, header: int) -> None:
    if scans > MAX_SCANS:
        raise BadImage(f"a JPEG of more than {MAX_SCANS} scans; expected about 10. Save it again")
    if header > MAX_HEADER_BYTES or segments > MAX_SEGMENTS:
        raise BadImage(
            f"a JPEG of {segments:,} segments, {header:,} bytes before its pixels; expected at most {MAX_SEGMENTS:,} and "
            f"{MAX_HEADER_BYTES:,}. Save it again"
        )


def with_end(data: bytes) -> bytes | None:
    """Return the JPEG file with its missing end marker added; None if it is not a JPEG file or lacks pixels.

    A decoder fills missing pixels from the bytes that follow: if those make no difference, no pixels are missing.
    """
    if not data.startswith(_START):
        return None
    ended = data + _END
    first, second = (Image.open(io.BytesIO(each), formats=["JPEG"]) for each in (ended, data + _NOISE + _END))
    return ended if ImageChops.difference(first, second).getbbox() is None else None
