"""Compare the size of a compressed DICOM image in its own header with that of the file's elements, before it is decoded."""

from __future__ import annotations

import struct
from itertools import pairwise

from raytl.data import jpeg
from raytl.data.bad_image import BadImage

_RLE = "1.2.840.10008.1.2.5"
_JPEG_2000 = b"\xff\x4f\xff\x51"
_RLE_HEADER_BYTES = 64
RLE_PEAK = 2 * 64
"""Of one segment, which has up to two bytes for each byte of pixels: two that repeat one byte become up to 128."""


def peak_bytes(syntax: str, frame: bytes, size: tuple[int, int, int]) -> int:
    """Return the memory that decoding a compressed image adds, in bytes a pixel; `size` is the (width, height, samples) of the
    elements.

    Raises:
        BadImage: the compressed image has another size, or one that cannot be read without decoding it.
    """
    if syntax == _RLE:
        _refuse_long_segments(frame, size[0] * size[1])
        return RLE_PEAK
    if (own := _declared(frame)) != size:
        what = "of unknown size" if own is None else f"of {own[0]} x {own[1]} pixels with {own[2]} samples"
        raise BadImage(
            f"a DICOM file with a compressed image {what}; expected {size[0]} x {size[1]} with {size[2]}, as its elements say. Save "
            "it again"
        )
    return 0


def _declared(frame: bytes) -> tuple[int, int, int] | None:
    """Return the (width, height, samples) in the header of a JPEG, JPEG-LS or JPEG 2000 codestream; None if there is none."""
    if frame.startswith(_JPEG_2000) and len(frame) >= 42:
        x_end, y_end, x, y = struct.unpack_from(">4I", frame, 8)
        return x_end - x, y_end - y, *struct.unpack_from(">H", frame, 40)
    jpeg.markers(frame)
    return jpeg.declared_size(frame)


def _refuse_long_segments(frame: bytes, pixels: int) -> None:
    """Raise a BadImage if a segment of a run-length encoded image has far more bytes than its pixels."""
    count, *offsets = struct.unpack("<16I", frame[:_RLE_HEADER_BYTES].ljust(_RLE_HEADER_BYTES, b"\0"))
    ends = [*offsets[:count], len(frame)]
    if any(end - start > 2 * pixels + _RLE_HEADER_BYTES for start, end in pairwise(ends)):
        raise BadImage("a DICOM file with more run-length encoded bytes than its pixels need; expected one image")
