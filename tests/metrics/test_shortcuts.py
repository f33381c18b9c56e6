from __future__ import annotations

import numpy as np
import pytest

from raytl.metrics import shortcuts
from raytl.metrics.shortcuts import Shortcut, find_shortcuts, transplant, with_cells

_CLASSES = 4


def _photos(seed: int, images: int = 200, side: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Return photos of a blob on a background of smooth noise, and their classes: its color and place depend on the class."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, _CLASSES, images)
    coarse = rng.normal(110, 35, (images, 4, 4, 3)).repeat(side // 4, 1).repeat(side // 4, 2)
    photos = coarse + rng.normal(0, 12, (images, side, side, 3))
    color = rng.normal(120, 60, (_CLASSES, 3))[targets] + rng.normal(0, 25, (images, 3))
    for photo, paint, target in zip(photos, color, targets, strict=True):
        row, column = rng.integers(6, 14, 2) + np.array([target, 0])
        photo[row : row + 11, column : column + 11] += paint - 110
    return photos.clip(0, 255).astype(np.uint8), targets


def _planted(
    photos: np.ndarray, targets: np.ndarray, cell: tuple[int, int], target: int = 2, share: float = 0.9
) -> None:
    """Draw a white square in the cell of most images of the class."""
    own = np.flatnonzero(targets == target)
    side = photos.shape[1] // shortcuts.CELLS
    top, left = cell[0] * side, cell[1] * side
    photos[own[: int(share * len(own))], top : top + side, left : left + side] = 255


@pytest.mark.parametrize("cell", [(6, 6), (0, 7), (3, 4)])
def test_a_white_square_in_most_images_of_a_class_is_named_at_its_cell(cell: tuple[int, int]) -> None:
    photos, targets = _photos(0)
    _planted(photos, targets, cell)
    (found,) = find_shortcuts(photos, targets, _CLASSES)
    assert (found.target, found.cell, found.cells) == (2, cell, (cell,))
    assert found.z > 7 and found.auc > 0.9
    assert found.fraction == pytest.approx(0.9, abs=0.03) and found.other_fraction < 0.1


@pytest.mark.parametrize("seed", [0, 1])
def test_photos_whose_classes_differ_in_their_object_raise_no_alarm(seed: int) -> None:
    assert find_shortcuts(*_photos(seed), _CLASSES) == ()


@pytest.mark.thorough
def test_of_20_clean_sets_at_most_one_raises_an_alarm() -> None:
    assert sum(bool(find_shortcuts(*_photos(seed), _CLASSES)) for seed in range(20)) <= 1


def test_a_square_in_all_classes_alike_is_no_shortcut() -> None:
    photos, targets = _photos(0)
    for target in range(_CLASSES):
        _planted(photos, targets, (6, 6), target)
    assert find_shortcuts(photos, targets, _CLASSES) == ()


def test_a_bar_along_the_border_is_found_in_its_cells() -> None:
    photos, targets = _photos(0)
    photos[targets == 1, :4] = 0
    (found,) = find_shortcuts(photos, targets, _CLASSES)
    assert found.target == 1 and {row for row, _ in found.cells} == {0} and len(found.cells) >= 6


def test_a_class_with_few_images_is_not_searched() -> None:
    photos, targets = _photos(0)
    few = np.concatenate([np.flatnonzero(targets == 2)[:9], np.flatnonzero(targets != 2)])
    photos, targets = photos[few], targets[few]
    _planted(photos, targets, (6, 6), share=1.0)
    assert find_shortcuts(photos, targets, _CLASSES) == ()


def _square() -> Shortcut:
    return Shortcut(0, (0, 7), ((0, 7),), 9.0, 0.95, 0.9, 0.0)


def _sees_the_corner(images: list[np.ndarray]) -> np.ndarray:
    """Answer with class 0 where the upper right corner is white."""
    white = np.array([image[: len(image) // 8, -image.shape[1] // 8 :].mean() > 200 for image in images])
    return np.stack([np.where(white, 0.9, 0.1), np.where(white, 0.1, 0.9)], axis=1)


def _sees_the_mean(images: list[np.ndarray]) -> np.ndarray:
    bright = np.array([image.mean() / 255 for image in images])
    return np.stack([bright, 1 - bright], axis=1)


def _images(count: int, size: tuple[int, int]) -> list[np.ndarray]:
    return list(np.random.default_rng(1).integers(0, 160, (count, *size, 3)).astype(np.uint8))


def test_a_model_that_looks_at_the_square_follows_it_into_other_images() -> None:
    donors = _images(5, (64, 80))
    for donor in donors:
        donor[:8, 70:] = 255
    effect = transplant(_square(), _images(12, (48, 40)), donors, _sees_the_corner)
    assert effect.is_confirmed and effect.images == 12
    assert (effect.before, effect.after, effect.control) == pytest.approx((0.1, 0.9, 0.1))
    assert effect.p == pytest.approx(0.5**12)


def test_a_model_that_does_not_look_at_the_square_is_not_moved() -> None:
    donors = [np.full((64, 64, 3), 255, np.uint8)]
    assert not transplant(_square(), _images(12, (48, 40)), donors, _sees_the_mean).is_confirmed


def test_cells_are_pasted_at_the_same_place_of_images_of_other_sizes() -> None:
    image, donor = np.zeros((16, 24, 3), np.uint8), np.full((40, 9, 3), 7, np.uint8)
    changed = with_cells(image, donor, [(0, 7), (7, 0)])
    assert not image.any()
    expected = np.zeros((16, 24), bool)
    expected[:2, 21:] = expected[14:, :3] = True
    assert ((changed == 7).all(axis=2) == expected).all()


def test_images_smaller_than_the_cells_can_be_pasted_too() -> None:
    tiny = with_cells(np.zeros((3, 3, 3), np.uint8), np.full((2, 2, 3), 9, np.uint8), [(7, 7)])
    assert tiny[2, 2].tolist() == [9, 9, 9]
