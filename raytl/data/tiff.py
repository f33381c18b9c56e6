"""Read the tags of TIFF files: describe their content, and find the bit depth of the detector."""

from __future__ import annotations

import io
import re
from typing import Any, Literal

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from raytl.data.bad_image import BadImage
from raytl.data.bit_depth import MAX_BITS, MIN_BITS

READABLE = (
    "raytl reads 1 (gray), 3 (RGB) or 4 (RGBA) bands of 8 or 16 bits, or 1 or 3 bands of 32-bit floats; for 2 to 16 channels, set "
    "model.channels"
)
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BITS, _PHOTOMETRIC, _DESCRIPTION, _BANDS, _PLANAR, _FORMAT = 258, 262, 270, 277, 284, 339
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_PLACES = (273, 324)
"""StripOffsets and TileOffsets."""
_MAX_TAGS = 4096
_MAX_PARTS = 1 << 18
"""The tiles of a 64-megapixel image at the smallest tile size, 16 x 16 pixels."""
_LARGEST = (281, 341)
"""MaxSampleValue and SMaxSampleValue."""
_WORDS = {1: "{}bits", 2: "signed {}bit integers", 3: "{}bit floats"}
_ADDITIVE = (0, 1, 2)
"""White is zero, black is zero, RGB."""
_OME_BITS = re.compile(r'SignificantBits="(\d{1,2})"')


def tags(data: bytes) -> ImageFileDirectory_v2 | None:
    """Return the tags of the first image of a TIFF file; None for any other or broken file."""
    return directory(data, first_directory(data)) if is_tiff(data) else None


def is_tiff(data: bytes) -> bool:
    """Return whether the first bytes are those of a TIFF file."""
    return data[:4] in _MAGIC


def first_directory(data: bytes) -> int:
    """Return where the tags of the first image of a TIFF file are."""
    order: Literal["little", "big"] = "little" if data[:1] == b"I" else "big"
    return int.from_bytes(data[8:16] if _is_big(data) else data[4:8], order)


def directory(data: bytes, at: int) -> ImageFileDirectory_v2 | None:
    """Return the tags at a place of a TIFF file; None if they are broken."""
    try:
        ifd = ImageFileDirectory_v2(data[: 16 if data[2] == 43 else 8])
        ifd._bigtiff = _is_big(data)  # Pillow misses it in big-endian files
        stream = io.BytesIO(data)
        stream.seek(at)
        ifd.load(stream)
    except Exception:  # Pillow's parsers raise nearly anything on broken files
        return None
    return ifd


def refuse_costly(data: bytes, at: int | None = None) -> None:
    """Raise a BadImage for a TIFF file with more tags or strips than a normal image; other files pass.

    `at` is the place of the tags; None = those of the first image.
    """
    if not is_tiff(data):
        return
    order: Literal["little", "big"] = "little" if data[:1] == b"I" else "big"
    width = 8 if _is_big(data) else 4

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)

    first = number(width, width) if at is None else at
    entry, start = (20, first + 8) if width == 8 else (12, first + 2)
    count = number(first, start - first)
    if count > _MAX_TAGS:
        raise BadImage(f"a TIFF of {count:,} tags; expected at most {_MAX_TAGS:,}. Save it again")
    for tag in range(start, min(start + count * entry, len(data)), entry):
        if number(tag, 2) in _PLACES and (parts := number(tag + 4, width)) > _MAX_PARTS:
            raise BadImage(f"a TIFF of {parts:,} strips or tiles; expected at most {_MAX_PARTS:,}. Save it again")


def tile_pixels(ifd: ImageFileDirectory_v2) -> int:
    """Return the pixels of one tile, which a decoder holds at once however small the image; 0 without tiles."""
    return int(_first(ifd, _TILE_WIDTH, 0)) * int(_first(ifd, _TILE_HEIGHT, 0))


def _is_big(data: bytes) -> bool:
    return data[2] == 43 or data[3] == 43


def tags_of(image: Image.Image) -> ImageFileDirectory_v2 | None:
    """Return the tags of an opened TIFF file; None for any other file."""
    return image.tag_v2 if isinstance(image, TiffImageFile) else None


def kind(ifd: ImageFileDirectory_v2) -> str:
    """Return a description of the file, such as "a TIFF of 5 bands of 8 bits"."""
    bands, bits = int(_first(ifd, _BANDS, 1)), int(_first(ifd, _BITS, 1))
    words = _WORDS.get(int(_first(ifd, _FORMAT, 1)), "{}bits of unknown format")
    sizes = words.format(f"{bits} " if words.startswith("{}bits") else f"{bits}-")
    parts = "separate planes" if _planar(ifd) else "bands"
    return f"a TIFF of {bands} {parts if bands != 1 else 'band'} of {sizes}"


def misread(ifd: ImageFileDirectory_v2) -> bool:
    """Return whether Pillow opens the file but drops bands, or reads 16-bit planes as 8-bit."""
    extra = int(_first(ifd, _BANDS, 1)) > 4 and int(_first(ifd, _PHOTOMETRIC, 1)) in _ADDITIVE
    return extra or (_planar(ifd) and int(_first(ifd, _BITS, 1)) > 8)


def has_many_bands(ifd: ImageFileDirectory_v2) -> bool:
    """Return whether the file has other bands than gray, RGB or RGBA, or floats of several."""
    bands = int(_first(ifd, _BANDS, 1))
    return bands == 2 or bands > 4 or (bands > 1 and int(_first(ifd, _FORMAT, 1)) == 3)


def size_of(ifd: ImageFileDirectory_v2) -> tuple[tuple[int, int], int]:
    """Return the (width, height) of the stored pixels and the orientation, 1 if it is unknown."""
    orientation = int(_first(ifd, 274, 1))
    size = int(_first(ifd, 256, 0)), int(_first(ifd, 257, 0))
    return size, orientation if orientation in range(1, 9) else 1


def white_is_zero(ifd: ImageFileDirectory_v2) -> bool:
    """Return whether zero means white, as in X-ray films."""
    return int(_first(ifd, _PHOTOMETRIC, 1)) == 0


def declared_bits(ifd: ImageFileDirectory_v2) -> int:
    """Return the bits that the tags declare: BitsPerSample, (S)MaxSampleValue or OME's SignificantBits; 0 if none does.

    A largest value other than 2^n - 1 belongs to this image alone, and 65535 is the default: both are ignored.
    """
    bits = int(_first(ifd, _BITS, 1))
    if MIN_BITS < bits < MAX_BITS:
        return bits
    for tag in _LARGEST:
        top = int(_first(ifd, tag, 0))
        if top & (top + 1) == 0 and MIN_BITS <= top.bit_length() < MAX_BITS:
            return top.bit_length()
    match = _OME_BITS.search(str(ifd.get(_DESCRIPTION, "")))
    return int(match[1]) if match and MIN_BITS <= int(match[1]) <= MAX_BITS else 0


def _planar(ifd: ImageFileDirectory_v2) -> bool:
    return int(_first(ifd, _PLANAR, 1)) == 2 and int(_first(ifd, _BANDS, 1)) > 1


def _first(ifd: ImageFileDirectory_v2, tag: int, default: int) -> Any:
    value = ifd.get(tag, default)
    return value[0] if isinstance(value, tuple) and value else value
