"""PNG and TIFF files byte by byte, for what Pillow cannot write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG colour types by bands."""


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png16(samples: NDArray[np.integer], *chunks: bytes) -> bytes:
    """A 16-bit PNG file of `(height, width[, bands])`, each row filtered with Sub; `chunks` come behind IHDR."""
    height, width = samples.shape[:2]
    bands = samples.shape[2] if samples.ndim == 3 else 1
    rows = np.frombuffer(samples.astype(">u2").tobytes(), np.uint8).reshape(height, -1).astype(np.int64)
    filtered = rows.copy()
    filtered[:, 2 * bands :] -= rows[:, : -2 * bands]
    body = b"".join(b"\1" + row.tobytes() for row in (filtered % 256).astype(np.uint8))
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[bands], 0, 0, 0)
    parts = (chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(body)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(
    samples: NDArray[np.generic],
    *more: tuple[int, int],
    bits: int | None = None,
    form: int = 1,
    photometric: int | None = None,
    extra: Sequence[int] = (),
    packed: bool = False,
    text: bytes = b"",
    body: bytes | None = None,
) -> bytes:
    """A little-endian TIFF file of one strip; `form` is SampleFormat, `more` are (tag, value) of 32 bits.

    `packed` compresses it with Deflate; `text` is its ImageDescription, `body` its bytes where they are not the samples'.
    """
    height, width = samples.shape[:2]
    bands = samples.shape[2] if samples.ndim == 3 else 1
    size = bits or samples.dtype.itemsize * 8
    body = samples.tobytes() if body is None else body
    body = zlib.compress(body) if packed else body
    colour = (2 if bands >= 3 else 1) if photometric is None else photometric
    short = {258: (size,) * bands, 259: (8 if packed else 1,), 262: (colour,), 277: (bands,), 339: (form,) * bands}
    short |= {338: tuple(extra)} if extra else {}
    values = {tag: (3, len(v), struct.pack(f"<{len(v)}H", *v)) for tag, v in short.items()}
    long = {256: width, 257: height, 278: height, 279: len(body), **dict(more)}
    values |= {tag: (4, 1, struct.pack("<I", v)) for tag, v in long.items()}
    values |= {270: (2, len(text), text)} if text else {}
    start = 8 + 2 + 12 * (len(values) + 1) + 4
    tail = b"".join(v for _, _, v in values.values() if len(v) > 4)
    values[273] = (4, 1, struct.pack("<I", start + len(tail)))
    entries, tail = b"", b""
    for tag, (kind, count, value) in sorted(values.items()):
        place = struct.pack("<I", start + len(tail)) if len(value) > 4 else value.ljust(4, b"\0")
        tail += value if len(value) > 4 else b""
        entries += struct.pack("<HHI", tag, kind, count) + place
    return b"II*\0" + struct.pack("<IH", 8, len(values)) + entries + bytes(4) + tail + body
