"""Read the size and the EXIF orientation of an image from its header, without decoding pixels."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import Image

from raytl.data.bad_image import BadImage
from raytl.data.decode import header, local_bytes

_THREADS = 8
_HEAD_BYTES = 1 << 17
_PNG = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 274
_TURNED = frozenset({5, 6, 7, 8})


@dataclass(frozen=True, slots=True)
class ImageSize:
    """The size of an image's stored pixels and the EXIF `orientation` (1 to 8) that turns them upright."""

    stored: tuple[int, int]
    orientation: int = 1

    @property
    def upright(self) -> tuple[int, int]:
        """Return width and height of the upright image."""
        return self.stored[::-1] if self.orientation in _TURNED else self.stored


def sizes(paths: Iterable[str]) -> dict[str, ImageSize | None]:
    """Return the size of each image; None for one that cannot be read, which the audit reports."""
    every = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(every, pool.map(size, every), strict=True))


def size(path: str) -> ImageSize | None:
    """Return the size of one image; None if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEAD_BYTES)
            result = _png(file) if head.startswith(_PNG) else _jpeg(head)
        return result or ImageSize(*header(local_bytes(path)))
    except (OSError, BadImage):
        return None


def _jpeg(head: bytes) -> ImageSize | None:
    """Return the size in the first bytes of a JPEG; None if they do not hold it."""
    try:
        image = Image.open(io.BytesIO(head), formats=["JPEG"])
        return ImageSize(image.size, _valid(image.getexif().get(_ORIENTATION, 1)))
    except Exception:  # Pillow's parsers raise nearly anything; the whole file is read then
        return None


def _png(file: IO[bytes]) -> ImageSize | None:
    """Return the size of a PNG without EXIF; None for others. Decoding drops its other metadata."""
    file.seek(len(_PNG))
    result = None
    while len(chunk := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", chunk)
        start = file.read(min(length, 8)) if kind == b"IHDR" else b""
        if kind == b"eXIf":
            return None
        if kind == b"IHDR" and length == 13:
            result = ImageSize((int.from_bytes(start[:4], "big"), int.from_bytes(start[4:8], "big")))
        file.seek(length - len(start) + 4, io.SEEK_CUR)
    return result if result and min(result.stored) > 0 else None


def _valid(orientation: object) -> int:
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1
