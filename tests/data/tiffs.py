"""Write TIFF files of any number of channels, without a library that also reads them."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def tiff_file(
    values: NDArray[Any],
    *,
    is_planar: bool = False,
    predictor: int = 1,
    tile: tuple[int, int] | None = None,
    rows: int = 7,
    orientation: int = 1,
    bits: int = 0,
    chunk: bytes | None = None,
) -> bytes:
    """Return a file of `values (h, w, c)`, compressed by deflate."""
    height, width, channels = values.shape
    planes = [values[..., i : i + 1] for i in range(channels)] if is_planar else [values]
    parts = [packed(part, predictor) for plane in planes for part in divided(plane, tile, rows)]
    parts = parts if chunk is None else [chunk for _ in parts]
    order = ">" if values.dtype.str[0] == ">" else "<"
    size, kind = values.dtype.itemsize, {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    tags: dict[int, list[int]] = {
        256: [width], 257: [height], 258: [bits or 8 * size] * channels, 259: [8], 262: [1], 274: [orientation],
        277: [channels], 284: [2 if is_planar else 1], 317: [predictor], 339: [kind] * channels,
    }  # fmt: skip
    starts = np.cumsum([8, *map(len, parts)]).tolist()
    places, counts = (324, 325) if tile else (273, 279)
    tags |= {places: starts[:-1], counts: [len(part) for part in parts]}
    tags |= {322: [tile[0]], 323: [tile[1]]} if tile else {278: [rows]}
    return written(parts, tags, order, starts[-1])


def divided(plane: NDArray[Any], tile: tuple[int, int] | None, rows: int) -> list[NDArray[Any]]:
    """Return the strips or padded tiles of a plane, row by row."""
    height, width, _ = plane.shape
    if tile is None:
        return [plane[top : top + rows] for top in range(0, height, rows)]
    padded = np.pad(plane, [(0, -height % tile[1]), (0, -width % tile[0]), (0, 0)])
    tops, lefts = range(0, padded.shape[0], tile[1]), range(0, padded.shape[1], tile[0])
    return [padded[top : top + tile[1], left : left + tile[0]] for top in tops for left in lefts]


def packed(part: NDArray[Any], predictor: int) -> bytes:
    """Return the compressed bytes of a strip or tile."""
    if predictor == 2:
        whole = part.view(f"{part.dtype.byteorder}u{part.dtype.itemsize}" if part.dtype.itemsize > 1 else "u1")
        native = whole.astype(whole.dtype.newbyteorder("="))
        native[:, 1:] -= native[:, :-1].copy()
        return zlib.compress(native.astype(whole.dtype).tobytes())
    if predictor == 3:
        rows, channels, size = len(part), part.shape[2], part.dtype.itemsize
        big = part.astype(part.dtype.newbyteorder(">")).reshape(rows, -1)
        planes = np.frombuffer(big.tobytes(), np.uint8).reshape(rows, -1, size).transpose(0, 2, 1).reshape(rows, -1)
        differences = planes.copy()
        differences[:, channels:] -= planes[:, :-channels]
        return zlib.compress(differences.tobytes())
    return zlib.compress(np.ascontiguousarray(part).tobytes())


def written(parts: list[bytes], tags: dict[int, list[int]], order: str, end: int) -> bytes:
    """Return the file: header, parts, tags, and the values of tags that do not fit."""
    start = end + end % 2
    tail_at, tail, entries = start + 2 + 12 * len(tags) + 4, b"", b""
    for tag, values in sorted(tags.items()):
        content = struct.pack(f"{order}{len(values)}I", *values)
        entries += struct.pack(f"{order}HHI", tag, 4, len(values))
        entries += content if len(content) == 4 else struct.pack(f"{order}I", tail_at + len(tail))
        tail += b"" if len(content) == 4 else content
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", start)
    return b"".join([head, *parts, bytes(end % 2), struct.pack(f"{order}H", len(tags)), entries, bytes(4), tail])
