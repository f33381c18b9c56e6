"""A JPEG file without its end marker is read where no pixel is lost."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from raytl.data.decode import BadImage, decode
from raytl.data.jpeg import with_end

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
