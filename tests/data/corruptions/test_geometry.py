"""A rotation is Pillow's where it shows the image, and mirrors the image where it does not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from raytl.data.corruptions.geometry import elastic, rotation
from tests.data.corruptions.scene import scene

POSITIVE = next(seed for seed in range(9) if np.random.default_rng(seed).random() < 0.5)
"""A seed that draws the positive direction."""


@pytest.mark.parametrize("degrees", [10, 45])
def test_a_rotation_is_pillows_inside(degrees: float) -> None:
    pixels = scene(60, 60)
    out = rotation(pixels, degrees, np.random.default_rng(POSITIVE))
    pillow = [np.array(Image.fromarray(pixels).rotate(sign * degrees, Image.Resampling.BILINEAR)) for sign in (1, -1)]
    y, x = np.mgrid[:60, :60] - 29.5
    inside = np.hypot(y, x) < 28
    assert min(np.abs(out[inside].astype(int) - each[inside]).max() for each in pillow) <= 2


def test_the_corners_show_the_image_and_no_border() -> None:
    out = rotation(np.full((40, 50, 3), 180, dtype=np.uint8), 45, np.random.default_rng(0))
    assert (out == 180).all()


def test_both_directions_occur() -> None:
    pixels = scene()
    first = rotation(pixels, 20, np.random.default_rng(POSITIVE))
    others = [rotation(pixels, 20, np.random.default_rng(seed)) for seed in range(8)]
    assert 0 < sum((other == first).all() for other in others) < 8


def test_an_elastic_deformation_moves_pixels_and_invents_none() -> None:
    pixels = scene()
    out = elastic(pixels, 0.05, np.random.default_rng(0))
    assert (out != pixels).mean() > 0.3 and pixels.min() <= out.min() and out.max() <= pixels.max()
    assert (elastic(pixels, 0.0, np.random.default_rng(0)) == pixels).all()
