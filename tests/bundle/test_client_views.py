"""The client's views are those of raytl, bit for bit."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from raytl.bundle.card import View
from raytl.bundle.client import resized_size, view_of
from raytl.data.transforms import Preprocess, eval_pixels, prepare, prepared_placement

MEAN = (0.485, 0.456, 0.406)
SIZES = [(64, 64), (37, 91), (91, 37), (1, 40), (40, 1), (1, 1), (500, 7), (7, 500), (33, 32), (640, 479)]
MODES = ["nearest", "nearest-exact", "bilinear", "bicubic", "box", "hamming", "lanczos"]
SIDES = [(32, 36), (32, 32), (33, 36), (32, 20), (31, 20)]
"""Of the view and of the resized photo: cropped, whole, odd, and padded by an even and an odd number of pixels."""


def preprocess(mode: str, sides: tuple[int, int], interpolation: str = "bilinear") -> Preprocess:
    if mode == "fit":
        return Preprocess(sides[0], sides[0], "center", interpolation, MEAN, (0.2,) * 3).fit((sides[0], sides[1]))
    return Preprocess(*sides, mode, interpolation, MEAN, (0.2,) * 3)  # type: ignore[arg-type]


def card_view(own: Preprocess) -> View:
    return View(
        own.image_px,
        own.resize_px,
        own.crop_mode,
        own.interpolation,  # type: ignore[arg-type]
        frame=own.frame,
        pad=tuple(own.mean_color.tolist()),
    )


def photo(size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.mark.parametrize("mode", ["center", "squash", "fit"])
@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("size", SIZES)
def test_views_of_any_size_are_bit_equal(mode: str, sides: tuple[int, int], size: tuple[int, int]) -> None:
    own, image = preprocess(mode, sides), photo(size)
    found = view_of(np.asarray(image), asdict(card_view(own)))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, eval_pixels(prepare(image, own), own))


@pytest.mark.parametrize("mode", ["center", "squash", "fit"])
@pytest.mark.parametrize("interpolation", MODES)
def test_views_of_any_interpolation_are_bit_equal(mode: str, interpolation: str) -> None:
    for size in ((70, 51), (20, 30), (32, 32)):
        own, image = preprocess(mode, (32, 36), interpolation), photo(size)
        found = view_of(np.asarray(image), asdict(card_view(own)))
        np.testing.assert_array_equal(found, eval_pixels(prepare(image, own), own))


def test_sizes_are_those_of_the_prepared_photo_whatever_the_rounding() -> None:
    for mode in ("center", "squash", "fit"):
        own = preprocess(mode, (224, 235))
        view = asdict(card_view(own))
        for width in range(1, 400, 7):
            for height in range(-(-width // 8), min(400, width * 8), 11):
                assert resized_size(width, height, view) == prepared_placement(width, height, own).size[::-1]
