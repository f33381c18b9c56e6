"""Exposure is exact in stops, contrast scales about the mean, and corners lose what they should."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from raytl.data.corruptions.light import color_cast, contrast, exposure, falloff, saturation, vignette
from raytl.data.corruptions.transfer import LUMINANCE, linear
from tests.data.corruptions.scene import gray_scene, scene

RNG = np.random.default_rng(0)


def test_one_stop_more_doubles_the_light() -> None:
    pixels = np.full((4, 4, 3), 120, dtype=np.uint8)
    assert linear(exposure(pixels, 1, RNG)) == pytest.approx(2 * linear(pixels), rel=0.01)
    assert linear(exposure(pixels, -2, RNG)) == pytest.approx(linear(pixels) / 4, rel=0.03)


def test_contrast_is_pillows_on_gray_images() -> None:
    pixels = gray_scene()
    pillow = np.array(ImageEnhance.Contrast(Image.fromarray(pixels)).enhance(0.3))
    assert np.abs(contrast(pixels, 0.3, RNG).astype(int) - pillow).max() <= 1


def test_a_color_cast_is_warm_or_cold_and_keeps_the_luminance_of_gray() -> None:
    pixels = np.full((8, 8, 3), 100, dtype=np.uint8)
    casts = [color_cast(pixels, 1.0, np.random.default_rng(seed)) for seed in range(8)]
    warm = [bool(cast[0, 0, 0] > cast[0, 0, 2]) for cast in casts]
    assert any(warm) and not all(warm)
    for cast in casts:
        assert linear(cast)[0, 0] @ LUMINANCE == pytest.approx(linear(pixels)[0, 0] @ LUMINANCE, rel=0.02)
        assert abs(np.log2(linear(cast)[0, 0, 0] / linear(cast)[0, 0, 2])) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("height", "width"), [(31, 31), (31, 91)])
def test_the_corners_lose_the_stops_and_the_center_nothing(height: int, width: int) -> None:
    light = falloff(height, width, 3)
    assert light[height // 2, width // 2] == 1
    assert light[0, 0] == light[-1, -1] == pytest.approx(1 / 8, rel=1e-5)


def test_a_vignette_darkens_toward_the_corners() -> None:
    flat = np.full((41, 41, 3), 200, dtype=np.uint8)
    row = vignette(flat, 2, RNG)[20, 20:, 0].astype(int)
    assert row[0] == 200 and (np.diff(row) <= 0).all() and row[-1] < 180


def test_exposure_of_a_color_image_keeps_its_order_of_levels() -> None:
    pixels = scene()
    out = exposure(pixels, -1.5, RNG)
    order = np.argsort(pixels.ravel(), kind="stable")
    assert (np.diff(out.ravel()[order].astype(int)) >= 0).all()


def test_saturation_is_pillows() -> None:
    pixels = scene()
    pillow = np.array(ImageEnhance.Color(Image.fromarray(pixels)).enhance(0.3))
    assert np.abs(saturation(pixels, 0.3, RNG).astype(int) - pillow).max() <= 1
