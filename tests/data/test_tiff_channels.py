"""Multi-channel TIFF files are read whatever packs them; wrong and hostile ones are named within limits."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from raytl.data import tiff_channels
from raytl.data.bad_image import BadImage
from raytl.data.bit_depth import BitDepth
from raytl.data.decode import decode, header, loaded
from tests.data.tiffs import tiff_file

BOUND = 10**6
RNG = np.random.default_rng(0)


def values(dtype: str, channels: int) -> NDArray[np.generic]:
    return np.cumsum(RNG.random((19, 23, channels)) * 9, axis=1).astype(dtype)


LAYOUTS = [
    (dtype, predictor, is_planar, tile)
    for dtype in ("<u1", "<u2", ">u2", "<i2", ">f4", "<f4", "<f8")
    for predictor in (1, 3 if dtype[1] == "f" else 2)
    for is_planar in (False, True)
    for tile in (None, (16, 32))
]


@pytest.mark.parametrize(("dtype", "predictor", "is_planar", "tile"), LAYOUTS)
def test_every_layout_is_read(dtype: str, predictor: int, is_planar: bool, tile: tuple[int, int] | None) -> None:
    for channels in (2, 4, 13):
        expected = values(dtype, channels)
        data = tiff_file(expected, is_planar=is_planar, predictor=predictor, tile=tile)
        found = tiff_channels.opened(data, channels, BOUND).read().values
        assert found.dtype == expected.dtype.newbyteorder("=")
        assert np.array_equal(found, expected)


def test_pages_of_one_band_are_channels() -> None:
    stack = values("<u2", 5)
    images = [Image.fromarray(stack[..., i].copy()) for i in range(5)]
    stream = io.BytesIO()
    images[0].save(stream, "TIFF", save_all=True, append_images=images[1:])
    assert np.array_equal(tiff_channels.opened(stream.getvalue(), 5, BOUND).read().values, stack)


def test_an_orientation_turns_the_pixels() -> None:
    stack = values("<u1", 4)
    data = tiff_file(stack, orientation=6)
    assert np.array_equal(tiff_channels.opened(data, 4, BOUND).read().values, np.rot90(stack, -1))


def test_the_size_is_in_the_header() -> None:
    assert header(tiff_file(values("<u2", 13), orientation=6)) == ((23, 19), 6)
    assert header(tiff_file(values("<f4", 3))) == ((23, 19), 1)


def test_three_floats_are_rgb() -> None:
    stack = RNG.random((8, 9, 3)).astype("<f4")
    assert np.array_equal(np.asarray(decode(tiff_file(stack), BOUND)), np.rint(stack.astype(np.float64) * 255))
    ranged = decode(tiff_file(stack * 1000), BOUND, BitDepth(ranges=((0.0, 1000.0),)))
    assert np.abs(np.asarray(ranged).astype(int) - np.rint(stack * 255)).max() <= 1
    with pytest.raises(BadImage, match=r"floats with values from .* expected 0 to 1. Set data.value_range"):
        decode(tiff_file(stack * 1000), BOUND)


@pytest.mark.parametrize(
    ("channels", "expected", "text"),
    [
        (13, 4, r"an image of 13 channels; expected 4 \(model.channels\)"),
        (4, 13, r"an image of 4 channels; expected 13"),
        (17, 13, r"an image of 17 channels; expected 13"),
        (1, 2, r"an image of 1 channel; expected 2"),
    ],
)
def test_another_number_of_channels_is_named(channels: int, expected: int, text: str) -> None:
    with pytest.raises(BadImage, match=text), loaded(tiff_file(values("<u1", channels)), BOUND, channels=expected):
        pass


def header_of(width: int, height: int, **tags: int) -> bytes:
    data = tiff_file(values("<u2", 13))
    number = {"width": 256, "height": 257, "compression": 259}
    for name, value in {"width": width, "height": height, **tags}.items():
        data = with_tag(data, number[name], value)
    return data


def with_tag(data: bytes, tag: int, value: int) -> bytes:
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    places = [at + 2 + 12 * i for i in range(count)]
    place = next(p for p in places if struct.unpack_from("<H", data, p)[0] == tag)
    return data[:place] + struct.pack("<HHII", tag, 4, 1, value) + data[place + 12 :]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (header_of(60000, 60000), r"60000 x 60000 pixels of 13 channels, more than data.max_pixels 1000000"),
        (header_of(23, 0), r"at least 1"),
        (header_of(24, 900), r"a TIFF of 3 strips or tiles; expected 129 for its size"),
        (header_of(23, 19, compression=7), r"compression 7 and predictor 1; expected none, LZW"),
        (tiff_file(values("<u2", 13))[:-700], r"truncated TIFF|broken TIFF"),
        (b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 65535), r"a TIFF of 65,535 tags"),
        (tiff_file(values("<u2", 13), bits=12), r"expected bands of integers or floats of 8, 16, 32 or 64 bits"),
    ],
    ids=["bomb", "no rows", "wrong size", "compression", "truncated", "tags", "12 bits"],
)
def test_hostile_files_are_named(data: bytes, text: str) -> None:
    with pytest.raises(BadImage, match=text), loaded(data, BOUND, channels=13):
        pass


def test_strips_that_overlap_are_refused_before_they_are_copied() -> None:
    chunk = zlib.compress(bytes(23 * 13 * 2))
    data = tiff_file(values("<u2", 13), rows=1, chunk=chunk)
    at = data.index(struct.pack("<HHI", 279, 4, 19))
    (place,) = struct.unpack_from("<I", data, at + 8)
    starts = struct.unpack_from("<I", data, data.index(struct.pack("<HHI", 273, 4, 19)) + 8)[0]
    data = data[:starts] + struct.pack("<19I", *[8] * 19) + data[starts + 76 :]
    data = data[:place] + struct.pack("<19I", *[len(data) - 8] * 19) + data[place + 76 :]
    with pytest.raises(BadImage, match=r"expected parts that do not overlap"):
        tiff_channels.opened(data, 13, BOUND)


def test_tiles_far_larger_than_the_image_are_refused() -> None:
    data = tiff_file(values("<u1", 2)[:1].repeat(10, axis=1), tile=(16, 16))
    data = with_tag(data, 323, 50_000)
    assert tiff_channels.opened(data, 2, 2 * BOUND).peak_bytes > 0
    with pytest.raises(BadImage, match=r"230 x 1 pixels whose tiles have 12,000,000; expected tiles no larger"):
        tiff_channels.opened(data, 2, BOUND)


def test_pages_that_differ_in_their_bands_are_named() -> None:
    stack = RNG.integers(0, 255, (8, 9, 3), dtype=np.uint8)
    stream = io.BytesIO()
    gray = Image.fromarray(stack[..., 0].copy())
    gray.save(stream, "TIFF", save_all=True, append_images=[Image.fromarray(stack)])
    with pytest.raises(BadImage, match="pages that differ in size, bands or type; expected one page for each channel"):
        tiff_channels.opened(stream.getvalue(), 2, BOUND)


def test_pages_in_a_loop_end() -> None:
    data = bytearray(tiff_file(values("<u2", 1)))
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    struct.pack_into("<I", data, at + 2 + 12 * count, at)
    with pytest.raises(BadImage, match="an image of 1 channel; expected 13"), loaded(bytes(data), BOUND, channels=13):
        pass


def test_a_small_file_that_expands_is_bounded_by_its_size() -> None:
    packed = zlib.compress(bytes(10**6))
    data = with_tag(tiff_file(values("<u1", 4), chunk=packed, rows=19), 279, len(packed))
    with loaded(data, BOUND, channels=4) as picture:
        assert picture.size == (23, 19)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_floats_that_are_not_finite_are_refused(wrong: float) -> None:
    stack = values("<f4", 4)
    stack[3, 4, 1] = wrong
    with (
        pytest.raises(BadImage, match="1 of 1,748 values are NaN or infinite"),
        loaded(tiff_file(stack), BOUND, channels=4),
    ):
        pass
