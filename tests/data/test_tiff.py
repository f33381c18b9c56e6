"""Errors describe the content of unsupported TIFF files."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.data.decode import BadImage, decode
from raytl.data.tiff import tags
from tests.data.files import tiff

RNG = np.random.default_rng(0)


def bands(count: int, kind: str) -> np.ndarray:
    return RNG.integers(0, 200, (6, 5, count)).astype(kind)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (tiff(bands(5, "u1"), photometric=1, extra=(0,) * 4), "a TIFF of 5 bands of 8 bits"),
        (tiff(bands(5, "u1"), photometric=2, extra=(0,) * 2), "a TIFF of 5 bands of 8 bits"),
        (tiff(bands(2, "<u2"), photometric=1, extra=(0,)), "a TIFF of 2 bands of 16 bits"),
        (tiff(bands(1, "<f8")[..., 0], form=3), "a TIFF of 1 band of 64-bit floats"),
        (tiff(bands(3, "<u2"), (284, 2)), "a TIFF of 3 separate planes of 16 bits"),
    ],
    ids=["5 bands", "RGB and 2 more", "2 x 16", "double", "planes"],
)
def test_bands_that_are_not_read_are_named(data: bytes, name: str) -> None:
    with pytest.raises(
        BadImage, match=rf"^{name}; raytl reads 1 \(gray\), 3 \(RGB\) or 4 \(RGBA\) bands of 8 or 16 bits"
    ):
        decode(data, 10**6)


def test_a_file_that_is_no_tiff_or_breaks_off_has_no_tags() -> None:
    assert tags(b"\x89PNG\r\n\x1a\n") is None
    assert tags(tiff(bands(3, "u1"))[:20]) is None
