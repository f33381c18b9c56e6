"""The client reads a photo to the pixels that raytl trains with, or says why it does not."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raytl.bundle.client import FORMATS, decoded
from raytl.data.bit_depth import BitDepth
from raytl.data.decode import BadImage, decode
from tests.data.files import chunk, png16, tiff

BOUND = 100_000
GRAY = np.random.default_rng(0).integers(0, 4096, (12, 17)).astype("<u2")
COLOR = np.random.default_rng(0).integers(0, 256, (24, 30, 3), dtype=np.uint8)


def view(bits: int = 16, fixed: bool = False) -> dict[str, Any]:
    return {"bits": bits, "bits_fixed": fixed}


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def same(data: bytes, bits: int = 16, fixed: bool = False) -> bool:
    """Return whether the client reads what raytl reads."""
    expected = np.asarray(decode(data, BOUND, BitDepth(bits, fixed)))
    found = decoded(data, view(bits, fixed), BOUND)
    return found.shape == expected.shape and bool((found == expected).all())


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert same(encoded(Image.fromarray(COLOR), kind, exif=exif))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "L"])
def test_photos_of_other_color_models(mode: str) -> None:
    assert same(encoded(Image.fromarray(COLOR).convert(mode), "JPEG"))


@pytest.mark.parametrize("mode", ["1", "P", "L", "LA", "RGBA", "RGB"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_pictures_of_every_mode(mode: str, kind: str) -> None:
    image = Image.fromarray(np.dstack([COLOR, COLOR[..., 0]])).convert(mode)
    assert same(encoded(image, kind))


def test_colors_that_are_transparent() -> None:
    palette = Image.fromarray(COLOR).quantize(4)
    for image, key in ((Image.new("RGB", (4, 4), (9, 9, 9)), (9, 9, 9)), (Image.new("L", (4, 4), 9), 9), (palette, 1)):
        assert same(encoded(image, "PNG", transparency=key))
    assert same(encoded(palette, "GIF", transparency=1))


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_of_several_frames_the_first_counts(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    assert same(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))


@pytest.mark.parametrize("kind", ["AVIF", "BMP", "PPM", "JPEG2000"])
def test_other_formats(kind: str) -> None:
    assert kind in FORMATS and same(encoded(Image.fromarray(COLOR), kind))


@pytest.mark.parametrize(("bits", "fixed"), [(16, False), (12, False), (10, True)])
def test_gray_of_16_bits_is_scaled_by_the_depth_of_the_model(bits: int, fixed: bool) -> None:
    assert same(png16(GRAY), bits, fixed)
    assert same(tiff(GRAY), bits, fixed)
    assert same(tiff(GRAY, packed=True), bits, fixed)


def test_gray_of_16_bits_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert same(png16(GRAY, chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))), 12)


def test_floats_from_0_to_1_are_scaled() -> None:
    assert same(encoded(Image.fromarray(GRAY.astype(np.float32) / 4096), "TIFF"))
    with pytest.raises(ValueError, match="gray from 7 to 7; expected 0 to 1. Save it with 8 bits"):
        decoded(encoded(Image.fromarray(np.full((4, 4), 7.0, np.float32)), "TIFF"), view())


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_broken_exif_block_does_not_hide_the_photo() -> None:
    assert same(encoded(Image.fromarray(COLOR), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f broken"))


_OME = b'<OME><Image><Pixels SignificantBits="12"/></Image></OME>\0'


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (png16(np.dstack([GRAY] * 3)), "color of 16 bits"),
        (png16(np.dstack([GRAY] * 2)), "color of 16 bits"),
        (tiff(np.dstack([GRAY] * 3)), "color of 16 bits"),
        (png16(GRAY, chunk(b"sBIT", b"\x0c")), "gray of 16 bits whose depth"),
        (tiff(GRAY, (281, 4095)), "gray of 16 bits whose depth"),
        (tiff(GRAY, text=_OME), "gray of 16 bits whose depth"),
        (tiff(GRAY, photometric=0), "gray of 16 bits whose depth or zero the file declares"),
        (b"P5 17 12 4095\n" + GRAY.astype(">u2").tobytes(), "gray of 16 bits whose depth"),
    ],
    ids=["color png", "gray and alpha", "color tiff", "sBIT", "MaxSampleValue", "OME", "white is zero", "pgm"],
)
def test_files_that_only_raytl_reads_right_are_refused(data: bytes, reason: str) -> None:
    assert decode(data, BOUND).size == (17, 12)
    with pytest.raises(ValueError, match=f"{reason}.*Save it with 8 bits"):
        decoded(data, view(), BOUND)


_NOISE = encoded(Image.effect_noise((64, 64), 90).convert("RGB"), "JPEG")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", r"not an image \(starts with b''\)"),
        (b"<html>404 not found</html>", r"not an image \(starts with b'<html>404 no'\); expected JPEG, PNG"),
        (_NOISE[: len(_NOISE) // 2], "truncated"),
        (_NOISE[:30], "not an image|truncated|cannot be read"),
        (encoded(Image.new("RGB", (400, 300)), "PNG"), "400 x 300 pixels; expected at most 100,000"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (tiff(np.zeros((4, 4, 5), np.uint8), photometric=2, extra=(0, 0)), "5 bands; expected 1"),
    ],
    ids=["empty", "html", "truncated", "header only", "large", "postscript", "five bands"],
)
def test_hostile_photos_have_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decoded(data, view(), BOUND)
    with pytest.raises(BadImage, match="."):
        decode(data, BOUND)


def test_a_missing_file_has_a_reason(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot be read \(FileNotFoundError: .*none.jpg"):
        decoded(tmp_path / "none.jpg", view())


def test_a_path_an_image_and_bytes_are_the_same_photo(tmp_path: Path) -> None:
    data = encoded(Image.fromarray(COLOR), "PNG")
    (tmp_path / "a b é.png").write_bytes(data)
    for photo in (data, tmp_path / "a b é.png", str(tmp_path / "a b é.png"), Image.fromarray(COLOR)):
        np.testing.assert_array_equal(decoded(photo, view()), COLOR)
