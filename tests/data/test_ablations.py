from __future__ import annotations

import numpy as np
import pytest

from raytl.data.ablations import ABLATIONS, background_only, center_only, equalized, gray, shuffled


def _image(height: int = 40, width: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", ABLATIONS)
@pytest.mark.parametrize("size", [(40, 60), (1, 1), (3, 5)])
def test_every_ablation_keeps_the_size_and_the_original(name: str, size: tuple[int, int]) -> None:
    image = _image(*size)
    before = image.copy()
    changed = ABLATIONS[name](image)
    assert changed.shape == image.shape and changed.dtype == np.uint8
    assert (image == before).all()


def test_background_and_center_are_each_other_s_rest() -> None:
    image = _image()
    outside, inside = background_only(image), center_only(image)
    kept = (outside == image).all(axis=2), (inside == image).all(axis=2)
    center = np.zeros((40, 60), bool)
    center[8:32, 12:48] = True
    assert kept[0][~center].all() and kept[1][center].all()
    assert (outside[center] == outside[20, 30]).all() and (inside[~center] == inside[0, 0]).all()
    assert np.abs(outside[20, 30] - image[~center].mean(axis=0)).max() <= 1


def test_gray_has_equal_channels_and_shuffled_the_same_pixels() -> None:
    image = _image()
    assert np.ptp(gray(image), axis=2).max() == 0
    mixed = shuffled(image)
    assert not (mixed == image).all()
    assert (np.sort(mixed.reshape(-1, 3), axis=0) == np.sort(image.reshape(-1, 3), axis=0)).all()
    assert (shuffled(image) == mixed).all(), "the same order each time"


def test_equalized_classes_differ_neither_in_brightness_and_cast_nor_in_size() -> None:
    dark = [_image(30, 30, seed) // 4 for seed in range(4)]
    warm = [(_image(60, 45, 9 + seed) // 3 + np.array([90, 40, 0])).astype(np.uint8) for seed in range(4)]
    targets = np.repeat([0, 1], 4)
    found = equalized([*dark, *warm], targets)
    assert {image.shape for image in found} == {(30, 30, 3)}
    means = np.array([image.mean(axis=(0, 1)) for image in found])
    assert np.abs(means[:4].mean(axis=0) - means[4:].mean(axis=0)).max() < 2
    assert np.ptp([image.mean() for image in [*dark, *warm]]) > 50


def test_no_images_are_equalized_to_none() -> None:
    assert equalized([], np.zeros(0, np.int64)) == []
