"""Refuse images by their headers where opening or decoding them would cost far more than an image does.

A decoder in a thread cannot be stopped, so no clock bounds an image: its pixels, scans, chunks and tags do, and its size. With
the default of `data.max_pixels`, small files take up to 7 s of one core, and files of hundreds of MB up to 30 s.
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
    """Raise a BadImage for a file of which the header alone costs too much, or which has more parts than an image has."""
    jpeg.markers(data)
    tiff.refuse_costly(data)
    if found := _WEBP_EXTENDED.match(data):  # its canvas is made as it is opened
        width, height = (int.from_bytes(each, "little") + 1 for each in found.groups())
        refuse_pixels(width, height, max_pixels)
    if _PNM.match(data) and not _has_header(data):  # it is read byte by byte
        raise BadImage(f"a header of more than {_PNM_HEADER_BYTES:,} bytes. Save it without comments")


def _has_header(data: bytes) -> bool:
    """Return whether the magic, the size and the largest value of a PNM file, or what there is, lie at its beginning."""
    if len(data) <= _PNM_HEADER_BYTES:
        return True
    return len(_COMMENT.sub(b" ", data[:_PNM_HEADER_BYTES]).split(None, 4)) >= 4


def refuse_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raise a BadImage for an image of more than `max_pixels`."""
    if width * height > max_pixels:
        raise BadImage(
            f"{width} x {height} pixels, more than data.max_pixels {max_pixels} (a decompression bomb?); raise it for larger "
            "images"
        )
