"""PNG chunks: drop what says nothing about the pixels, and read the declared significant bits.

Pillow bounds and checks text and colour profiles, which raytl never looks at, and gives up on the whole file over them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from raytl.data.bad_image import BadImage

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FOR_PIXELS = b"tRNS"
_ABOUT_PIXELS = frozenset({b"eXIf", b"sBIT"})
_GREY_ALPHA_16, _RGBA_8 = b"\x10\x04", b"\x08\x06"
MOST_CHUNKS = 1 << 17
"""A GB of the smallest ones that encoders write."""
_SHAPE = slice(24, 26)
"""Where IHDR has the bits of a sample and the colour type."""


def pixels_only(data: bytes) -> bytes:
    """Return the PNG file without the ancillary chunks that say nothing about its pixels; other files as they are.

    Raises:
        BadImage: it has more chunks than an image has.
    """
    if not data.startswith(SIGNATURE):
        return data
    kept, end = [SIGNATURE], len(SIGNATURE)
    for number, (kind, start, stop) in enumerate(_chunks(data)):
        if number >= MOST_CHUNKS:
            raise BadImage(f"a PNG of more than {MOST_CHUNKS:,} chunks; expected some of 8 kB or more. Save it again")
        critical = not kind[0] & 0x20  # the case of the first letter: PNG 3rd edition, 5.4
        if critical or kind == _FOR_PIXELS or (kind in _ABOUT_PIXELS and _is_whole(data, start, stop)):
            kept.append(data[start:stop])
        end = stop
    return b"".join([*kept, data[end:]])


def is_grey_alpha_16(data: bytes) -> bool:
    """Return whether this is a PNG file of grey and alpha of 16 bits each."""
    return data.startswith(SIGNATURE) and data[_SHAPE] == _GREY_ALPHA_16


def bytes_as_bands(data: bytes) -> bytes:
    """Return a PNG file of grey and alpha of 16 bits as one of RGBA of 8 bits: (high, low) of grey, then of alpha.

    Both have 4 bytes a pixel, and PNG filters see nothing but bytes.
    """
    header = data[12:24] + _RGBA_8 + data[26:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def significant_bits(data: bytes) -> int:
    """Return the bits that sBIT declares for the colours of a PNG file; 0 where it has no such chunk."""
    if not data.startswith(SIGNATURE):
        return 0
    for kind, start, stop in _chunks(data):
        if kind == b"sBIT" and _is_whole(data, start, stop):
            body = data[start + 8 : stop - 4]
            return max(body[: 1 if len(body) < 3 else 3], default=0)
        if kind == b"IDAT":
            break
    return 0


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind, start and end of each whole chunk up to IEND."""
    start, kind = len(SIGNATURE), b""
    while start + 12 <= len(data) and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, start)
        stop = start + 12 + length
        if stop > len(data) or not kind.isalpha():
            return
        yield kind, start, stop
        start = stop


def _is_whole(data: bytes, start: int, stop: int) -> bool:
    found: int = struct.unpack_from(">I", data, stop - 4)[0]
    return zlib.crc32(data[start + 4 : stop - 4]) == found
