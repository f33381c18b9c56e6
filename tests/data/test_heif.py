"""HEIC photos are read where pillow-heif is installed, and named where it is not."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image

from raytl.data import heif
from raytl.data.decode import IMAGE_SUFFIXES, BadImage, decode
from raytl.data.formats.skip_rules import skip_reason

HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(40)
RED = Image.new("RGB", (64, 48), (200, 30, 30))


@pytest.mark.parametrize("suffix", [".heic", ".heif", ".hif", ".avif"])
def test_photos_of_phones_are_images_in_every_layout(suffix: str) -> None:
    assert suffix in IMAGE_SUFFIXES
    assert skip_reason(f"cat/IMG_1{suffix.upper()}") == ""


def test_without_pillow_heif_the_file_is_named_and_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(BadImage, match=r"a HEIC image; install pillow-heif \(pip install 'raytl\[heif\]'\)"):
        decode(HEIC, 10**6)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (HEIC, True),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", True),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", False),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", False),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp41heic", False),
        (b"", False),
    ],
)
def test_the_brands_tell_heic_from_avif_and_video(data: bytes, expected: bool) -> None:
    assert heif.is_heif(data) is expected


def test_heic_photos_are_read_with_pillow_heif() -> None:
    pytest.importorskip("pillow_heif")
    assert heif.register()
    assert heif.version()
    stream = io.BytesIO()
    RED.save(stream, heif.FORMAT)
    found = decode(stream.getvalue(), 10**6)
    assert found.size == (64, 48)
    assert np.abs(np.asarray(found).mean(axis=(0, 1)) - (200, 30, 30)).max() < 8
    with pytest.raises(BadImage, match="64 x 48 pixels, more than data.max_pixels 100"):
        decode(stream.getvalue(), 100)


def test_a_broken_heic_photo_is_named_as_one() -> None:
    pytest.importorskip("pillow_heif")
    with pytest.raises(BadImage, match="a broken HEIC image: pillow-heif cannot read it"):
        decode(HEIC + bytes(500), 10**6)


def test_avif_photos_are_read() -> None:
    stream = io.BytesIO()
    RED.save(stream, "AVIF")
    assert np.abs(np.asarray(decode(stream.getvalue(), 10**6)).mean(axis=(0, 1)) - (200, 30, 30)).max() < 8
