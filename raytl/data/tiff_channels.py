"""Read TIFF files of any number of channels, chunky or planar, or with a page for each channel.

libtiff, through Pillow, decompresses them as grey bytes: a file of w x h pixels with c channels of b bytes holds the same strips
as a grey image of (w c b) x h bytes. What depends on the samples (byte order, predictors, planes) is undone here.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from raytl.data import tiff
from raytl.data.bad_image import BadImage
from raytl.data.bit_depth import MAX_CHANNELS, RGB
from raytl.data.channel_values import (
    ChannelFile,
    ChannelValues,
    refuse_channels,
    refuse_nonfinite,
    refuse_samples,
)
from raytl.data.exif_orientation import turned

Bytes = NDArray[np.uint8]
_COMPRESSIONS = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})
"""None, LZW, deflate (two codes), PackBits, LZMA and Zstandard: those that pack bytes and know nothing of samples."""
_KINDS = {1: "u", 2: "i", 3: "f"}
_YCBCR, _ORIENTATION = 6, 274
_HORIZONTAL, _FLOATS = 2, 3
_MOST_PADDED = 4
"""With tiles that are no larger than the image, they have less than twice its width and height."""
_RATE = 3
"""Peak memory, in copies of the values as they are stored; the conversion adds 10 bytes for each value of one channel."""


@dataclass(frozen=True)
class _Page:
    """One image of a file: its values are `bands` of `dtype`; `part` is the (width, height) of a strip or tile."""

    width: int
    height: int
    bands: int
    dtype: np.dtype[Any]
    compression: int
    predictor: int
    is_planar: bool
    is_tiled: bool
    part: tuple[int, int]
    places: tuple[tuple[int, int], ...]
    orientation: int

    @property
    def grid(self) -> tuple[int, int]:
        """Return the columns and rows of parts."""
        return -(-self.width // self.part[0]), -(-self.height // self.part[1])


def has_float_color(ifd: ImageFileDirectory_v2 | None) -> bool:
    """Return whether these are the tags of RGB floats, which Pillow does not open."""
    return ifd is not None and _number(ifd, 339, 1) == _FLOATS and _number(ifd, 277, 1) == 3


def opened(data: bytes, channels: int, max_pixels: int) -> ChannelFile:
    """Return the file with its header checked, to be read as `channels`: its bands, or its pages of one band each.

    Raises:
        BadImage: it has another number of channels, more values than allowed, or a kind that is not supported.
    """
    pages = [_page(ifd) for ifd in _directories(data)]
    if not pages:
        raise BadImage("a broken TIFF: its tags cannot be read; expected a complete file. Copy it again")
    first = pages[0]
    if first.bands == 1 and len(pages) > 1:
        refuse_channels(len(pages), channels)
        if len({(each.width, each.height, each.bands, each.dtype) for each in pages}) > 1:
            raise BadImage(
                "a TIFF of pages that differ in size, bands or type; expected one page for each channel, all alike"
            )
    else:
        refuse_channels(first.bands, channels)
        pages = [first]
    refuse_samples(first.width, first.height, channels, max_pixels)
    for page in pages:
        _check(page, len(data), max_pixels)
    stored = sum(page.grid[0] * page.grid[1] * page.part[0] * page.part[1] for page in pages)
    size = stored * first.bands * first.dtype.itemsize
    return ChannelFile(_RATE * size + 10 * first.width * first.height, lambda: _read(data, pages))


def _read(data: bytes, pages: Sequence[_Page]) -> ChannelValues:
    values = np.concatenate([_values(data, page) for page in pages], axis=2)
    refuse_nonfinite(values)
    return ChannelValues(values)


def _values(data: bytes, page: _Page) -> NDArray[Any]:
    """Return the upright values of a page, `(height, width, bands)` in the byte order of this machine."""
    planes = page.bands if page.is_planar else 1
    bands = page.bands // planes
    per_plane = len(page.places) // planes
    parts = [
        _plane(data, page, page.places[i * per_plane : (i + 1) * per_plane], bands)[: page.height, : page.width]
        for i in range(planes)
    ]
    whole = parts[0] if planes == 1 else np.concatenate(parts, axis=2)
    native = whole.astype(page.dtype.newbyteorder("="), copy=False)
    if page.orientation == 1:
        return native
    return np.stack([turned(native[..., i], page.orientation) for i in range(page.bands)], axis=-1)


def _plane(data: bytes, page: _Page, places: Sequence[tuple[int, int]], bands: int) -> NDArray[Any]:
    """Return a plane with whole tiles, `(height, width, bands)`; the predictor starts again in each tile."""
    size, (columns, rows) = bands * page.dtype.itemsize, page.grid
    width, height = (columns * page.part[0], rows * page.part[1]) if page.is_tiled else (page.width, page.height)
    chunks = [data[start : start + count] for start, count in places]
    packed = _decompressed(chunks, page, (width * size, height), (page.part[0] * size, page.part[1]))
    tiles = [packed[:, at : at + page.part[0] * size] for at in range(0, width * size, page.part[0] * size)]
    return np.concatenate([_unpredicted(tile, page, bands) for tile in tiles], axis=1)


def _decompressed(chunks: Sequence[bytes], page: _Page, size: tuple[int, int], part: tuple[int, int]) -> Bytes:
    """Return the bytes of strips or tiles as a grey image of `size` (width, height)."""
    with Image.open(io.BytesIO(_grey_file(chunks, page, size, part)), formats=["TIFF"]) as image:
        pixels: Bytes = np.array(image, dtype=np.uint8)
    return pixels


def _grey_file(chunks: Sequence[bytes], page: _Page, size: tuple[int, int], part: tuple[int, int]) -> bytes:
    """Return a TIFF file of 8-bit grey with the same compressed strips or tiles."""
    starts = np.cumsum([8, *(len(chunk) for chunk in chunks)]).tolist()
    offsets, counts = starts[:-1], [len(chunk) for chunk in chunks]
    tags: dict[int, list[int]] = {256: [size[0]], 257: [size[1]], 258: [8], 259: [page.compression], 262: [1], 277: [1]}
    if page.is_tiled:
        tags |= {322: [part[0]], 323: [part[1]], 324: offsets, 325: counts}
    else:
        tags |= {273: offsets, 278: [part[1]], 279: counts}
    body = b"".join([b"II*\0", struct.pack("<I", starts[-1] + starts[-1] % 2), *chunks, b"\0" * (starts[-1] % 2)])
    after = len(body) + 2 + 12 * len(tags) + 4
    entries, tail = [struct.pack("<H", len(tags))], b""
    for tag, values in sorted(tags.items()):
        content = struct.pack(f"<{len(values)}I", *values)
        place = content if len(content) == 4 else struct.pack("<I", after + len(tail))
        entries.append(struct.pack("<HHI", tag, 4, len(values)) + place)
        tail += b"" if len(content) == 4 else content
    return b"".join([body, *entries, bytes(4), tail])


def _unpredicted(packed: Bytes, page: _Page, bands: int) -> NDArray[Any]:
    """Return the values of the bytes `(rows, width x bands x size)` of a strip or tile, `(rows, width, bands)`."""
    rows, size = len(packed), page.dtype.itemsize
    if page.predictor == _FLOATS:
        sums = np.cumsum(packed.reshape(rows, -1, bands), axis=1, dtype=np.uint8)
        planes = sums.reshape(rows, size, -1).transpose(0, 2, 1)  # the most significant bytes come first
        return np.ascontiguousarray(planes).view(f">f{size}").reshape(rows, -1, bands).astype(page.dtype)
    values = np.ascontiguousarray(packed).view(page.dtype).reshape(rows, -1, bands)
    if page.predictor != _HORIZONTAL:
        return values
    whole = np.dtype(f"u{size}")
    numbers = values.view(whole.newbyteorder(page.dtype.byteorder)).astype(whole)
    return np.cumsum(numbers, axis=1, dtype=whole).view(page.dtype.newbyteorder("=")).astype(page.dtype)


def _directories(data: bytes) -> Iterator[ImageFileDirectory_v2]:
    """Yield the tags of each page, of a few more than there may be channels; a loop of pages ends."""
    at, seen = tiff.first_directory(data), set[int]()
    while at and at not in seen and len(seen) <= MAX_CHANNELS:
        seen.add(at)
        tiff.refuse_costly(data, at)
        ifd = tiff.directory(data, at)
        if ifd is None:
            return
        yield ifd
        at = int(ifd.next or 0)


def _page(ifd: ImageFileDirectory_v2) -> _Page:
    """Return the page that these tags describe.

    Raises:
        BadImage: its values are of a kind that is not supported.
    """
    bits, kind = {*_numbers(ifd, 258, (1,))}, {*_numbers(ifd, 339, (1,))}
    bands, size = _number(ifd, 277, 1), next(iter(bits)) // 8
    is_supported = (
        len(bits) == len(kind) == 1 and bits <= {8, 16, 32, 64} and kind <= set(_KINDS) and size > (kind == {3})
    )
    if not is_supported or _number(ifd, 262, 1) == _YCBCR:
        raise BadImage(f"{tiff.kind(ifd)}; expected bands of integers or floats of 8, 16, 32 or 64 bits, all alike")
    order = "<" if ifd.prefix in (b"II", b"II*\0") else ">"
    is_tiled = 322 in ifd
    width, height = _number(ifd, 256, 0), _number(ifd, 257, 0)
    strip = (width, min(_number(ifd, 278, height) or height, height))
    starts, counts = (_numbers(ifd, tag, ()) for tag in ((324, 325) if is_tiled else (273, 279)))
    return _Page(
        width=width,
        height=height,
        bands=bands,
        dtype=np.dtype(f"{order}{_KINDS[next(iter(kind))]}{size}"),
        compression=_number(ifd, 259, 1),
        predictor=_number(ifd, 317, 1),
        is_planar=_number(ifd, 284, 1) == 2 and bands > 1,
        is_tiled=is_tiled,
        part=(_number(ifd, 322, 0), _number(ifd, 323, 0)) if is_tiled else strip,
        places=tuple(zip(starts, counts, strict=False)),
        orientation=_number(ifd, _ORIENTATION, 1),
    )


def _check(page: _Page, length: int, max_pixels: int) -> None:
    """Raise a BadImage for a page that cannot be decoded, before memory is allocated for it."""
    if min(page.width, page.height, *page.part) < 1:
        raise BadImage(f"a TIFF of {page.width} x {page.height} pixels in parts of {page.part}; expected at least 1")
    if page.compression not in _COMPRESSIONS or page.predictor not in (1, _HORIZONTAL, _FLOATS):
        raise BadImage(
            f"a TIFF of several channels with compression {page.compression} and predictor {page.predictor}; expected none, LZW, "
            "deflate, PackBits, LZMA or Zstandard. Save it again"
        )
    if page.predictor == _FLOATS and page.dtype.kind != "f":
        raise BadImage("a TIFF of integers with the predictor of floats; expected predictor 1 or 2. Save it again")
    if page.part[0] * page.part[1] * page.bands > RGB * max_pixels:
        raise BadImage(
            f"a TIFF with tiles of {page.part[0] * page.part[1]:,} pixels; expected at most data.max_pixels {max_pixels}. Save "
            "it again"
        )
    padded = page.grid[0] * page.part[0] * page.grid[1] * page.part[1]
    if padded * page.bands > _MOST_PADDED * RGB * max_pixels:
        raise BadImage(
            f"a TIFF of {page.width} x {page.height} pixels whose tiles have {padded:,}; expected tiles no larger than the image. Save "
            "it again"
        )
    wanted = page.grid[0] * page.grid[1] * (page.bands if page.is_planar else 1)
    if len(page.places) != wanted:
        raise BadImage(
            f"a TIFF of {len(page.places):,} strips or tiles; expected {wanted:,} for its size. Save it again"
        )
    if any(start < 0 or count < 0 or start + count > length for start, count in page.places):
        raise BadImage("a truncated TIFF: its strips end after the file; expected a complete file. Copy it again")
    if (total := sum(count for _, count in page.places)) > length:
        raise BadImage(
            f"a TIFF whose strips or tiles have {total:,} bytes in a file of {length:,}; expected parts that do not overlap. Save it "
            "again"
        )


def _number(ifd: ImageFileDirectory_v2, tag: int, default: int) -> int:
    return next(iter(_numbers(ifd, tag, (default,))), default)


def _numbers(ifd: ImageFileDirectory_v2, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
    value = ifd.get(tag, default)
    try:
        return tuple(int(each) for each in (value if isinstance(value, tuple) else (value,)))
    except (TypeError, ValueError):
        raise BadImage(f"a broken TIFF: its tag {tag} is not a number; expected a complete file") from None
