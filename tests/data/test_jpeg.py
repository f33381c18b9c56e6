"""The markers of a JPEG give its cost, and one without an end marker is read if no pixel is missing."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from raytl.data.decode import BadImage, decode
from raytl.data.jpeg import Markers, markers, with_end

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (72, 80, 3), dtype=np.uint8))


def jpeg(progressive: bool) -> bytes:
    stream = io.BytesIO()
    NOISE.save(stream, "JPEG", progressive=progressive)
    return stream.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
def test_a_missing_end_marker_costs_no_pixel(progressive: bool) -> None:
    whole = jpeg(progressive)
    expected = np.asarray(decode(whole, 10**6))
    for data in (whole[:-2], whole[:-1], whole + bytes(500), b"\r\n" + whole, b"\xef\xbb\xbf" + whole):
        assert np.array_equal(np.asarray(decode(data, 10**6)), expected)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("lost", [30, 100, 1000, 3000])
def test_lost_pixels_are_an_error(progressive: bool, lost: int) -> None:
    with pytest.raises(BadImage, match="truncated"):
        decode(jpeg(progressive)[:-lost], 10**6)


def test_other_files_get_no_end() -> None:
    assert with_end(b"\x89PNG\r\n\x1a\n") is None


def encoded(mode: str = "RGB", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 90).convert(mode).save(stream, "JPEG", **options)
    return stream.getvalue()


def rescanned(count: int) -> bytes:
    """A progressive JPEG file whose last scan is there so many times more."""
    data = encoded(progressive=True)
    start = data.rindex(b"\xff\xda")
    return data[:-2] + data[start:-2] * count + data[-2:]


@pytest.mark.parametrize(
    ("mode", "progressive", "scans"), [("RGB", False, 1), ("L", True, 6), ("RGB", True, 10), ("CMYK", True, 18)]
)
def test_scans_are_counted_by_their_markers(mode: str, progressive: bool, scans: int) -> None:
    data = encoded(mode, progressive=progressive, comment=b"\xff\xda" * 300)  # what is in a segment is no marker
    assert markers(data) == Markers(scans, has_end=True)
    assert markers(data[:-2]) == Markers(scans, has_end=False)
    assert markers(data + b"\xff\xda" * 300) == Markers(scans, has_end=True)


def test_a_file_that_is_no_jpeg_has_no_markers() -> None:
    assert markers(b"\x89PNG") is None


def test_more_scans_than_any_encoder_writes_are_refused() -> None:
    assert markers(rescanned(90)) == Markers(100, has_end=True)
    with pytest.raises(BadImage, match=r"a JPEG of more than 100 scans; expected about 10"):
        decode(rescanned(2000), 10**6)


@pytest.mark.parametrize("segment", [b"\xff\xe2\xff\xff" + bytes(65533), b"\xff\xfe\x00\x02"], ids=["large", "many"])
def test_a_header_that_is_larger_than_a_photo_s_is_refused(segment: bytes) -> None:
    data = encoded()
    count = 600 if len(segment) > 4 else 5000
    with pytest.raises(BadImage, match=r"a JPEG of [\d,]+ segments, [\d,]+ bytes before its pixels; expected at most"):
        decode(data[:2] + segment * count + data[2:], 10**6)
    assert markers(data[:2] + segment * 300 + data[2:]) == Markers(1, has_end=True)
