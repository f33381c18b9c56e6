"""Drop PNG chunks that do not affect the pixels, and read the declared significant bits.

Pillow limits and checks text and color profiles, which raytl never uses, and rejects the whole file if they are broken.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from raytl.data.bad_image import BadImage

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FOR_PIXELS = b"tRNS"
_ABOUT_PIXELS = frozenset({b"eXIf", b"sBIT"})
_GRAY_ALPHA_16, _RGBA_8 = b"\x10\x04", b"\x08\x06"
MAX_CHUNKS = 1 << 17
"""1 GB of the smallest chunks that encoders write."""
_SHAPE = slice(24, 26)
"""The bytes of IHDR with the bits per sample and the color type."""


def pixels_only(data: bytes) -> bytes:
    """Return the PNG file without ancillary chunks that do not affect its pixels; return other files unchanged.

    Raises:
        BadImage: it has more chunks than a normal image.
    """
    if not data.startswith(SIGNATURE):
        return data
    parts, end = [SIGNATURE], len(SIGNATURE)
    for number, (kind, start, stop) in enumerate(_chunks(data)):
        if number >= MAX_CHUNKS:
            raise BadImage(f"a PNG of more than {MAX_CHUNKS:,} chunks; expected few of 8 kB or more. Save it again")
        critical = not kind[0] & 0x20  # the case of the first letter: PNG 3rd edition, 5.4
        if critical or kind == _FOR_PIXELS or (kind in _ABOUT_PIXELS and _is_whole(data, start, stop)):
            parts.append(data[start:stop])
        end = stop
    return b"".join([*parts, data[end:]])


def is_gray_alpha_16(data: bytes) -> bool:
    """Return whether this is a PNG file with 16-bit gray and alpha."""
    return data.startswith(SIGNATURE) and data[_SHAPE] == _GRAY_ALPHA_16


def bytes_as_bands(data: bytes) -> bytes:
    """Return a 16-bit gray-alpha PNG file relabeled as 8-bit RGBA: (high, low) byte of gray, then of alpha.

    Both have 4 bytes per pixel, and PNG filters work on bytes.
    """
    header = data[12:24] + _RGBA_8 + data[26:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def significant_bits(data: bytes) -> int:
    """Return the bits that sBIT declares for the colors of a PNG file; 0 if it has no such chunk."""
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
    checksum: int = struct.unpack_from(">I", data, stop - 4)[0]
    return zlib.crc32(data[start + 4 : stop - 4]) == checksum
