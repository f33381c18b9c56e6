"""Metadata decides nothing about whether a PNG file can be read."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from raytl.data.decode import BadImage, decode
from raytl.data.png import pixels_only, significant_bits
from tests.data.files import chunk, png16

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)


def png(**options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "PNG", **options)
    return stream.getvalue()


PLAIN = png()


def broken(data: bytes) -> bytes:
    """The chunk with a wrong CRC."""
    return data[:-1] + bytes([data[-1] ^ 0xFF])


@pytest.mark.parametrize(
    "metadata",
    [
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3_000_000))),
        chunk(b"iCCP", b"printer\0\0" + zlib.compress(bytes(2_500_000))),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(2_000_000))),
        b"".join(chunk(b"zTXt", b"C%d\0\0" % i + zlib.compress(bytes(1_000_000))) for i in range(70)),
        broken(chunk(b"tEXt", b"Software\0old camera")),
        broken(chunk(b"eXIf", b"II*\0")),
        chunk(b"gAMA", b""),
    ],
    ids=["zTXt", "iCCP", "iTXt", "much text", "text CRC", "EXIF CRC", "empty gAMA"],
)
@pytest.mark.parametrize("place", ["ahead", "behind"])
def test_pixels_are_read_whatever_the_metadata_is(metadata: bytes, place: str) -> None:
    at = 33 if place == "ahead" else len(PLAIN) - 12  # behind IHDR, or ahead of IEND
    data = PLAIN[:at] + metadata + PLAIN[at:]
    assert np.array_equal(np.asarray(decode(data, 10**6)), PIXELS)


def test_a_wrong_crc_of_what_decides_pixels_is_still_an_error() -> None:
    for data in (broken(PLAIN[:33]) + PLAIN[33:], PLAIN[:33] + broken(chunk(b"tRNS", bytes(6))) + PLAIN[33:]):
        with pytest.raises(BadImage, match="not an image"):
            decode(data, 10**6)


def test_what_decides_pixels_stays() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(png(exif=exif), 10**6).size == (7, 5)
    stream = io.BytesIO()
    Image.new("P", (2, 2)).save(stream, "PNG", transparency=0)
    assert pixels_only(stream.getvalue()) == stream.getvalue()


@pytest.mark.parametrize("data", [b"", b"GIF89a", PLAIN[:20], PLAIN[:-20], PLAIN[:33] + b"\xff" * 30])
def test_other_and_broken_files_are_left_as_they_are(data: bytes) -> None:
    assert pixels_only(data) == data


def test_significant_bits_are_those_of_the_colours() -> None:
    grey = np.zeros((2, 2), np.uint16)
    assert significant_bits(png16(grey)) == 0
    assert significant_bits(png16(grey, chunk(b"sBIT", b"\x0a"))) == 10
    assert significant_bits(png16(np.zeros((2, 2, 2), np.uint16), chunk(b"sBIT", b"\x0a\x10"))) == 10
    assert significant_bits(png16(np.zeros((2, 2, 4), np.uint16), chunk(b"sBIT", b"\x0a\x0c\x0a\x10"))) == 12
    assert significant_bits(png16(grey, broken(chunk(b"sBIT", b"\x0a")))) == 0
