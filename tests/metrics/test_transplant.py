from __future__ import annotations

import numpy as np
import pytest

from raytl.metrics.shortcuts import Shortcut
from raytl.metrics.transplant import control_cells, transplant, with_cells


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


@pytest.mark.parametrize("cells", [[(3.5, 3.5)], [(3, 3), (3, 4), (4, 3), (4, 4)], [(0, 7)], [(3, 0), (4, 0)]])
def test_the_control_is_another_place_also_for_a_square_in_the_middle(cells: list[tuple[float, float]]) -> None:
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    taken, control = (with_cells(black, white, each) for each in (cells, control_cells(cells)))
    assert not (taken & control).any() and taken.sum() == control.sum() > 0


def test_a_model_that_looks_at_a_square_in_the_middle_follows_it() -> None:
    donors = _images(5, (64, 64))
    for donor in donors:
        donor[28:36, 28:36] = 255

    def sees_the_middle(images: list[np.ndarray]) -> np.ndarray:
        white = np.array([image[28:36, 28:36].mean() > 200 for image in images])
        return np.stack([np.where(white, 0.9, 0.1), np.where(white, 0.1, 0.9)], axis=1)

    shortcut = Shortcut(0, (3.5, 3.5), ((3.5, 3.5),), 9.0, 0.95, 0.9, 0.0)
    assert transplant(shortcut, _images(12, (64, 64)), donors, sees_the_middle).is_confirmed


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


def test_a_cell_between_two_rows_is_pasted_across_their_border() -> None:
    changed = with_cells(np.zeros((16, 16, 3), np.uint8), np.full((40, 8, 3), 7, np.uint8), [(0.5, 7)])
    assert np.argwhere((changed == 7).all(axis=2)).tolist() == [[1, 14], [1, 15], [2, 14], [2, 15]]
