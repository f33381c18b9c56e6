"""Every kind of image file becomes the picture that a person sees, or one clear reason."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raytl.data.decode import BadImage, decode, read

BOUND = 10_000_000


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixel(data: bytes, at: tuple[int, int] = (0, 0)) -> tuple[int, ...]:
    image = decode(data, BOUND)
    assert image.mode == "RGB"
    found = image.getpixel(at)
    assert isinstance(found, tuple)
    return tuple(int(value) for value in found)


def test_a_plain_photo_keeps_its_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(decode(encoded(Image.fromarray(pixels), "PNG"), BOUND)), pixels)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_upright_once(kind: str, orientation: int) -> None:
    stored = Image.new("RGB", (64, 32), "white")
    stored.paste((0, 0, 0), (0, 0, 16, 16))  # black where the stored picture begins
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = decode(encoded(stored, kind, exif=exif), BOUND)
    # EXIF 2.32, tag 274: at which corner of the visible picture row 0 and column 0 meet
    corner = {1: (4, 4), 2: (59, 4), 3: (59, 27), 4: (4, 27), 5: (4, 4), 6: (27, 4), 7: (27, 59), 8: (4, 59)}
    assert upright.size == ((64, 32) if orientation < 5 else (32, 64))
    assert max(upright.getpixel(corner[orientation])) < 60  # type: ignore[type-var, arg-type]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_broken_exif_block_does_not_hide_the_photo() -> None:
    data = encoded(Image.new("RGB", (8, 8), "red"), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f broken")
    assert pixel(data)[0] > 250


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "L", "1", "P"])
def test_other_colour_models_become_rgb(mode: str) -> None:
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    red, green, blue = pixel(encoded(Image.new("RGB", (16, 16), "white").convert(mode), kind))
    assert min(red, green, blue) > 250


def test_cmyk_colours_are_not_inverted() -> None:
    red, green, blue = pixel(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
    assert red > 240
    assert max(green, blue) < 20


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
@pytest.mark.parametrize(("value", "expected"), [(0, 0), (257, 1), (32896, 128), (65535, 255)])
def test_sixteen_bits_are_scaled_not_clipped(kind: str, value: int, expected: int) -> None:
    data = encoded(Image.fromarray(np.full((4, 4), value, dtype=np.uint16)), kind)
    assert pixel(data) == (expected,) * 3


def test_floats_from_0_to_1_are_scaled_and_others_refused() -> None:
    assert pixel(encoded(Image.fromarray(np.full((4, 4), 0.5, dtype=np.float32)), "TIFF")) == (128, 128, 128)
    with pytest.raises(BadImage, match=r"floats with values from 7 to 7; expected 0 to 1. Set data.value_range"):
        decode(encoded(Image.fromarray(np.full((4, 4), 7.0, dtype=np.float32)), "TIFF"), BOUND)


def palette_with_transparency() -> bytes:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    return encoded(image, "PNG", transparency=1)


@pytest.mark.parametrize(
    "data",
    [
        encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "PNG"),
        encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "WEBP", lossless=True),
        encoded(Image.new("LA", (4, 4), (0, 0)), "PNG"),
        encoded(Image.new("RGB", (4, 4), (9, 9, 9)), "PNG", transparency=(9, 9, 9)),
        encoded(Image.new("L", (4, 4), 9), "PNG", transparency=9),
        palette_with_transparency(),
    ],
    ids=["rgba", "webp", "grey-alpha", "colour-key", "grey-key", "palette"],
)
def test_what_is_transparent_is_white(data: bytes) -> None:
    assert pixel(data) == (255, 255, 255)


def test_half_transparent_is_laid_on_white() -> None:
    assert pixel(encoded(Image.new("RGBA", (4, 4), (255, 0, 0, 128)), "PNG")) == (255, 127, 127)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP"])
def test_of_several_frames_the_first_counts(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    red, _, blue = pixel(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert red > 240
    assert blue < 20


PHOTO = encoded(Image.effect_noise((64, 64), 90).convert("RGB"), "JPEG")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", r"empty file \(0 bytes\)"),
        (b"<html>404 not found</html>", r"not an image \(starts with b'<html>404 no'\); expected JPEG, PNG"),
        (PHOTO[: len(PHOTO) // 2], r"broken image \(OSError: .*truncated"),
        (PHOTO[:30], r"(not an|broken) image"),
        (encoded(Image.effect_noise((64, 64), 90), "PNG")[:-600], r"broken image"),
        (encoded(Image.new("RGB", (4000, 3000)), "PNG"), r"4000 x 3000 pixels, more than data.max_pixels 10000000"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", r"not an image"),
    ],
    ids=["empty", "html", "truncated", "header only", "truncated png", "bomb", "postscript"],
)
def test_what_is_no_image_has_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(BadImage, match=reason):
        decode(data, BOUND)


def test_the_bound_is_ours_and_not_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert decode(encoded(Image.new("RGB", (8, 8)), "PNG"), 64).size == (8, 8)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_files_that_cannot_be_read_have_a_reason(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="cannot be read \\(No such file"):
        decode(tmp_path / "none.jpg", BOUND)
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(BadImage, match="not a regular file"):
        decode(tmp_path / "pipe.jpg", BOUND)
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(2**26)
    with pytest.raises(BadImage, match=r"67108864 bytes, more than an image of data\.max_pixels 100 can have"):
        read(tmp_path / "huge.jpg", 100)


def test_odd_names_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a 'b' \"c\"\nd é.jpg"
    path.write_bytes(PHOTO)
    assert decode(path, BOUND).size == (64, 64)
