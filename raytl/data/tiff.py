"""What the tags of a TIFF file say: what it holds, in words, and the bits that its detector has."""

from __future__ import annotations

import io
import re
from typing import Any, Literal

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from raytl.data.bad_image import BadImage
from raytl.data.bit_depth import LEAST, MOST

READABLE = "raytl reads 1 (grey), 3 (RGB) or 4 (RGBA) bands of 8 or 16 bits, or 1 band of 32-bit floats"
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BITS, _PHOTOMETRIC, _DESCRIPTION, _BANDS, _PLANAR, _FORMAT = 258, 262, 270, 277, 284, 339
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_PLACES = (273, 324)
"""StripOffsets and TileOffsets."""
_MOST_TAGS = 4096
_MOST_PARTS = 1 << 18
"""Tiles of 16 x 16 pixels, the smallest size, of an image of 64 megapixels."""
_LARGEST = (281, 341)
"""MaxSampleValue and SMaxSampleValue."""
_WORDS = {1: "{}bits", 2: "signed {}bit integers", 3: "{}bit floats"}
_ADDITIVE = (0, 1, 2)
"""White is zero, black is zero, RGB."""
_OME_BITS = re.compile(r'SignificantBits="(\d{1,2})"')


def tags(data: bytes) -> ImageFileDirectory_v2 | None:
    """Return the tags of the first image of a TIFF file; None of anything else and of a broken file."""
    if data[:4] not in _MAGIC:
        return None
    try:
        size = 16 if _is_big(data) else 8
        found = ImageFileDirectory_v2(data[:size])
        stream = io.BytesIO(data)
        stream.seek(found.next)
        found.load(stream)
    except Exception:  # Pillow's parsers raise nearly anything on broken files
        return None
    return found


def refuse_costly(data: bytes) -> None:
    """Raise a BadImage for a TIFF file of more tags or strips than images have; other files pass."""
    if data[:4] not in _MAGIC:
        return
    order: Literal["little", "big"] = "little" if data[:1] == b"I" else "big"
    width = 8 if _is_big(data) else 4

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)

    first = number(width, width)
    entry, start = (20, first + 8) if width == 8 else (12, first + 2)
    count = number(first, start - first)
    if count > _MOST_TAGS:
        raise BadImage(f"a TIFF of {count:,} tags; expected at most {_MOST_TAGS:,}. Save it again")
    for at in range(start, min(start + count * entry, len(data)), entry):
        if number(at, 2) in _PLACES and (parts := number(at + 4, width)) > _MOST_PARTS:
            raise BadImage(f"a TIFF of {parts:,} strips or tiles; expected at most {_MOST_PARTS:,}. Save it again")


def tile_pixels(found: ImageFileDirectory_v2) -> int:
    """Return the pixels of one tile, which a decoder holds whole however small the image is; 0 where there are none."""
    return int(_first(found, _TILE_WIDTH, 0)) * int(_first(found, _TILE_HEIGHT, 0))


def _is_big(data: bytes) -> bool:
    return data[2] == 43 or data[3] == 43


def tags_of(image: Image.Image) -> ImageFileDirectory_v2 | None:
    """Return the tags of an opened TIFF file; None of any other."""
    return image.tag_v2 if isinstance(image, TiffImageFile) else None


def kind(found: ImageFileDirectory_v2) -> str:
    """Return what the file is, such as "a TIFF of 5 bands of 8 bits"."""
    bands, bits = int(_first(found, _BANDS, 1)), int(_first(found, _BITS, 1))
    words = _WORDS.get(int(_first(found, _FORMAT, 1)), "{}bits of unknown format")
    sizes = words.format(f"{bits} " if words.startswith("{}bits") else f"{bits}-")
    parts = "separate planes" if _planar(found) else "bands"
    return f"a TIFF of {bands} {parts if bands != 1 else 'band'} of {sizes}"


def misread(found: ImageFileDirectory_v2) -> bool:
    """Return whether Pillow opens the file and drops bands, or takes 16-bit planes for 8-bit ones."""
    extra = int(_first(found, _BANDS, 1)) > 4 and int(_first(found, _PHOTOMETRIC, 1)) in _ADDITIVE
    return extra or (_planar(found) and int(_first(found, _BITS, 1)) > 8)


def white_is_zero(found: ImageFileDirectory_v2) -> bool:
    """Return whether the values count from white to black, as X-ray films do."""
    return int(_first(found, _PHOTOMETRIC, 1)) == 0


def declared_bits(found: ImageFileDirectory_v2) -> int:
    """Return the bits that the tags declare: BitsPerSample, (S)MaxSampleValue, or OME's SignificantBits; 0 where none does.

    A largest value that is not 2^n - 1 is that of this image alone, and 65535 is the default: both say nothing.
    """
    bits = int(_first(found, _BITS, 1))
    if LEAST < bits < MOST:
        return bits
    for tag in _LARGEST:
        top = int(_first(found, tag, 0))
        if top & (top + 1) == 0 and LEAST <= top.bit_length() < MOST:
            return top.bit_length()
    described = _OME_BITS.search(str(found.get(_DESCRIPTION, "")))
    return int(described[1]) if described and LEAST <= int(described[1]) <= MOST else 0


def _planar(found: ImageFileDirectory_v2) -> bool:
    return int(_first(found, _PLANAR, 1)) == 2 and int(_first(found, _BANDS, 1)) > 1


def _first(found: ImageFileDirectory_v2, tag: int, default: int) -> Any:
    value = found.get(tag, default)
    return value[0] if isinstance(value, tuple) and value else value
