"""Reject images whose headers show that opening or decoding them would cost far more than a normal image.

A decoder in a thread cannot be stopped, so images are bounded by pixels, scans, chunks, tags and size instead of time. With the
default `data.max_pixels`, small files take up to 7 s on one core, and files of hundreds of MB up to 30 s.
"""

from __future__ import annotations

import re

from raytl.data import jpeg, tiff
from raytl.data.bad_image import BadImage

_WEBP_EXTENDED = re.compile(rb"RIFF....WEBPVP8X.{8}(...)(...)", re.DOTALL)
_PNM = re.compile(rb"P[1-6]")
_PNM_HEADER_BYTES = 1 << 16
_COMMENT = re.compile(rb"#[^\r\n]*")


def refuse_costly(data: bytes, max_pixels: int) -> None:
    """Raise a BadImage for a file whose header alone is too expensive, or that has more parts than a normal image."""
    jpeg.markers(data)
    tiff.refuse_costly(data)
    if match := _WEBP_EXTENDED.match(data):  # Pillow allocates the canvas on open
        width, height = (int.from_bytes(each, "little") + 1 for each in match.groups())
        refuse_pixels(width, height, max_pixels)
    if _PNM.match(data) and not _has_header(data):  # Pillow reads it byte by byte
        raise BadImage(f"a header of more than {_PNM_HEADER_BYTES:,} bytes; save it without comments")


def _has_header(data: bytes) -> bool:
    """Return whether a PNM file has its magic number, size and largest value at the start, or is short."""
    if len(data) <= _PNM_HEADER_BYTES:
        return True
    return len(_COMMENT.sub(b" ", data[:_PNM_HEADER_BYTES]).split(None, 4)) >= 4


def refuse_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raise a BadImage for an image of more than `max_pixels`."""
    if width * height > max_pixels:
        raise BadImage(
            f"{width} x {height} pixels, more than data.max_pixels {max_pixels} (possibly a decompression bomb); raise it for larger "
            "images"
        )
