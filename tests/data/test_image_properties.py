from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from raytl.data.image_properties import properties


def _measured(*images: np.ndarray) -> dict[str, np.ndarray]:
    return properties(np.stack(images).astype(np.uint8), np.full((len(images), 2), 100))


def _noise(low: int = 60, high: int = 180) -> np.ndarray:
    return np.random.default_rng(0).integers(low, high, (32, 32, 3))


def test_a_brighter_image_is_brighter_and_a_flat_one_has_no_contrast() -> None:
    found = _measured(_noise(), _noise() + 40, np.full((32, 32, 3), 90))
    assert found["brightness"][1] - found["brightness"][0] == pytest.approx(40, abs=1e-3)
    assert found["brightness"][2] == pytest.approx(90, abs=1e-3)
    assert found["contrast"][2] == pytest.approx(0, abs=1e-3) and found["contrast"][0] > 10


def test_blur_lowers_the_sharpness_most() -> None:
    sharp = Image.fromarray(_noise().astype(np.uint8))
    blurred = np.asarray(sharp.filter(ImageFilter.GaussianBlur(2)))
    found = _measured(np.asarray(sharp), blurred)
    assert found["sharpness"][1] < 0.05 * found["sharpness"][0]


def test_the_sharpness_is_the_variance_of_the_four_neighbor_laplacian() -> None:
    spot = np.zeros((5, 5, 3))
    spot[2, 2] = 10
    laplacian = np.array([[0, 10, 0], [10, -40, 10], [0, 10, 0]])
    assert _measured(spot)["sharpness"][0] == pytest.approx(laplacian.var(), rel=1e-5)


def test_a_color_cast_shows_as_warmth_or_greenness() -> None:
    gray, warm, green = np.full((8, 8, 3), 100), np.full((8, 8, 3), [140, 100, 60]), np.full((8, 8, 3), [90, 120, 90])
    found = _measured(gray, warm, green)
    assert found["warmth"].tolist() == [0, 80, 0]
    assert found["greenness"].tolist() == [0, 0, 30]


def test_size_and_aspect_are_those_of_the_image_and_no_images_have_none() -> None:
    found = properties(np.zeros((2, 8, 8, 3), np.uint8), np.array([[2000, 1000], [500, 1000]]))
    assert found["megapixels"].tolist() == [2.0, 0.5] and found["aspect"].tolist() == [2.0, 0.5]
    empty = properties(np.zeros((0, 8, 8, 3), np.uint8), np.zeros((0, 2), np.int64))
    assert all(len(values) == 0 for values in empty.values())
