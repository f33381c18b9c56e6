"""A picture of 8, 10, 12 and 16 bits is the same picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from raytl.data.bit_depth import SIXTEEN_BITS, BitDepth, Levels
from raytl.data.decode import BadImage, decode, load
from raytl.data.high_bit_depth import is_stretched
from tests.data.files import chunk, png16, tiff

BOUND = 10**6
SCENE = np.random.default_rng(0).random((12, 17, 4))
SCENE[0, 0] = 1.0
SHAPES = {"grey": SCENE[..., 0], "rgb": SCENE[..., :3]}


def at(scene: NDArray[np.float64], bits: int) -> NDArray[np.uint16]:
    return np.rint(scene * (2**bits - 1)).astype("<u2")


def of_eight(scene: NDArray[np.float64]) -> NDArray[np.uint8]:
    eight = np.rint(scene * 255).astype(np.uint8)
    return np.asarray(Image.fromarray(eight).convert("RGB"))


def off(data: bytes, depth: BitDepth, scene: NDArray[np.float64]) -> int:
    """Return the largest difference in gray levels from the 8-bit image."""
    found = np.asarray(decode(data, BOUND, depth)).astype(int)
    return int(np.abs(found - of_eight(scene)).max())


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
@pytest.mark.parametrize("colours", ["grey", "rgb"])
@pytest.mark.parametrize("kind", ["png", "tiff", "deflated tiff"])
def test_a_picture_of_any_depth_is_the_same_within_one_grey_level(kind: str, colours: str, bits: int) -> None:
    samples = at(SHAPES[colours], bits)
    data = png16(samples) if kind == "png" else tiff(samples, packed=kind != "tiff")
    assert load(data, BOUND).levels == Levels(2**bits - 1)
    assert off(data, BitDepth(bits), SHAPES[colours]) <= 1


@pytest.mark.parametrize("kind", ["PPM", "JPEG2000", "PNG", "TIFF"])
def test_grey_files_as_pillow_writes_them_are_scaled_alike(kind: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(at(SHAPES["grey"], 12)).save(stream, kind)
    assert off(stream.getvalue(), BitDepth(12), SHAPES["grey"]) <= 1


@pytest.mark.parametrize("opaque", [4095, 65535])
@pytest.mark.parametrize("bands", [1, 3])
def test_alpha_of_16_bits_is_laid_on_white_and_does_not_count_for_the_depth(bands: int, opaque: int) -> None:
    samples = at(SCENE[..., : bands + 1], 12)
    samples[..., -1] = opaque
    samples[3, 4, -1] = 0
    picture = load(png16(samples), BOUND)
    assert picture.levels.top == 4095
    pixels = np.asarray(picture.rgb(BitDepth(12)))
    assert pixels[3, 4].tolist() == [255, 255, 255]
    colour = SCENE[..., 0] if bands == 1 else SCENE[..., :3]
    assert np.abs(pixels[4:].astype(int) - of_eight(colour)[4:]).max() <= 1


def test_values_above_the_depth_are_clipped() -> None:
    samples = np.array([[0, 4095, 4096, 65535]], dtype=np.uint16)
    assert np.asarray(decode(png16(samples), BOUND, BitDepth(12)))[0, :, 0].tolist() == [0, 255, 255, 255]


def test_x_rays_whose_zero_is_white_are_inverted_by_their_depth() -> None:
    film = tiff(4095 - at(SHAPES["grey"], 12), photometric=0)
    assert off(film, BitDepth(12), SHAPES["grey"]) <= 1


def test_a_black_picture_still_counts_as_one_of_16_bits() -> None:
    assert load(png16(np.zeros((4, 4), np.uint16)), BOUND).levels == Levels(1)


OME = b'<OME><Image><Pixels SignificantBits="12"/></Image></OME>\0'


@pytest.mark.parametrize(
    "data",
    [
        png16(at(SHAPES["grey"], 12), chunk(b"sBIT", b"\x0c")),
        png16(at(SHAPES["rgb"], 12), chunk(b"sBIT", b"\x0c\x0c\x0c")),
        tiff(at(SHAPES["grey"], 12), (281, 4095)),
        tiff(at(SHAPES["grey"], 12), (341, 4095)),
        tiff(at(SHAPES["grey"], 12), text=OME),
    ],
    ids=["sBIT grey", "sBIT colour", "MaxSampleValue", "SMaxSampleValue", "OME"],
)
def test_a_declared_depth_comes_before_the_sets(data: bytes) -> None:
    picture = load(data, BOUND)
    assert picture.levels == Levels(4095, declared=12)
    assert np.array_equal(np.asarray(picture.rgb(SIXTEEN_BITS)), np.asarray(picture.rgb(BitDepth(12))))


def test_twelve_bits_packed_in_a_tiff_are_declared_by_bits_per_sample() -> None:
    samples = at(SCENE[:, :16, 0], 12)
    bits = (samples[..., None] >> np.arange(11, -1, -1)) & 1
    body = np.packbits(bits.astype(np.uint8).reshape(len(samples), -1), axis=1).tobytes()
    data = tiff(samples, bits=12, body=body)
    assert load(data, BOUND).levels.declared == 12
    assert off(data, SIXTEEN_BITS, SCENE[:, :16, 0]) <= 1


@pytest.mark.parametrize("how", ["shift", "scale", "repeat"])
def test_significant_bits_that_fill_16_are_scaled_as_16(how: str) -> None:
    twelve = at(SHAPES["grey"], 12)
    filled = {"shift": twelve << 4, "scale": np.rint(twelve * (65535 / 4095)), "repeat": twelve << 4 | twelve >> 8}[how]
    data = png16(filled.astype(np.uint16), chunk(b"sBIT", b"\x0c"))
    assert load(data, BOUND).levels.declared == 16
    assert off(data, BitDepth(12), SHAPES["grey"]) <= 1
    assert is_stretched(filled.astype(np.uint16), 12)


@pytest.mark.parametrize(
    "data",
    [
        png16(at(SHAPES["grey"], 14), chunk(b"sBIT", b"\x0c")),
        tiff(at(SHAPES["grey"], 14), (281, 4095)),
        tiff(at(SHAPES["grey"], 12), (281, 3120)),
        tiff(at(SHAPES["grey"], 12), (281, 65535)),
    ],
    ids=["sBIT exceeded", "tag exceeded", "one image's maximum", "the default"],
)
def test_a_declaration_that_the_values_disprove_or_that_says_nothing_is_passed_over(data: bytes) -> None:
    assert load(data, BOUND).levels.declared == 0


def test_a_pgm_file_is_scaled_by_the_maximum_in_its_header() -> None:
    grey = at(SHAPES["grey"], 12)
    raw = b"P5 17 12 4095\n" + grey.astype(">u2").tobytes()
    plain = b"P2 17 12 4095\n" + " ".join(map(str, grey.ravel())).encode()
    assert max(off(data, BitDepth(10), SHAPES["grey"]) for data in (raw, plain)) <= 1


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_deep_pictures_are_turned_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned, plain = io.BytesIO(), io.BytesIO()
    eight = Image.fromarray(np.rint(SCENE[..., 0] * 255).astype(np.uint8))
    eight.save(plain, "PNG", exif=exif)
    Image.fromarray(at(SHAPES["grey"], 12)).save(turned, "PNG", exif=exif)
    block = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    expected = np.asarray(decode(plain.getvalue(), BOUND)).astype(int)
    for data in (turned.getvalue(), png16(at(np.dstack([SCENE[..., 0]] * 3), 12), block)):
        found = np.asarray(decode(data, BOUND, BitDepth(12))).astype(int)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= 1


def test_signed_values_are_read_unless_some_are_negative() -> None:
    grey = at(SHAPES["grey"], 12)
    assert off(tiff(grey.astype("<i2"), form=2), BitDepth(12), SHAPES["grey"]) <= 1
    with pytest.raises(
        BadImage, match=r"a TIFF of 1 band of signed 16-bit integers with values from -975 to \d+; expected 0"
    ):
        decode(tiff(grey.astype("<i2") - 1000, form=2), BOUND)
