"""Placements compose, invert, and move boxes and masks as numpy moves pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image, ImageOps

from raytl.data.placement import Placement, flips, quarter_turns, scaling, shift, upright, window

SIZE = (20, 30)
TILTED = window((10.0, 14.0), (6.0, 9.0), 0.2, (24, 36))
MAPS = [
    scaling(SIZE, (31, 17)),
    shift(-3, 4, (18, 40)),
    flips(SIZE, horizontal=True, vertical=False),
    flips(SIZE, horizontal=False, vertical=True),
    quarter_turns(SIZE, 1),
    quarter_turns(SIZE, 2),
    quarter_turns(SIZE, 3),
    TILTED,
]


@pytest.mark.parametrize("placement", MAPS)
def test_the_inverse_leads_back(placement: Placement) -> None:
    points = np.array([[0.0, 0.0], [30.0, 20.0], [7.5, 3.25]])
    there_and_back = placement.then(placement.inverse(SIZE))
    assert there_and_back.size == SIZE
    np.testing.assert_allclose(there_and_back.points(points), points, atol=1e-9)


@pytest.mark.parametrize("first", MAPS)
@pytest.mark.parametrize("second", MAPS)
def test_one_after_the_other_is_their_composition(first: Placement, second: Placement) -> None:
    points = np.random.default_rng(0).uniform(0, 30, (9, 2))
    np.testing.assert_allclose(first.then(second).points(points), second.points(first.points(points)), atol=1e-9)


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5])
def test_flips_and_quarter_turns_move_masks_as_numpy_does(turns: int) -> None:
    mask = np.random.default_rng(0).integers(0, 9, SIZE, dtype=np.uint8)
    both = flips(SIZE, horizontal=True, vertical=True).then(quarter_turns(SIZE, turns))
    np.testing.assert_array_equal(both.mask(mask, 255), np.rot90(mask[::-1, ::-1], turns))


def test_a_shift_fills_what_the_mask_does_not_cover() -> None:
    mask = np.arange(6, dtype=np.int64).reshape(2, 3)
    np.testing.assert_array_equal(shift(1, -1, (2, 3)).mask(mask, 255), [[255, 3, 4], [255, 255, 255]])
    assert shift(9, 9, (2, 3)).mask(mask, 255).tolist() == [[255] * 3] * 2


def test_a_resized_mask_has_the_nearest_pixels() -> None:
    mask = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(scaling((3, 4), (6, 8)).mask(mask, 0), mask.repeat(2, 0).repeat(2, 1))
    expected = Image.fromarray(np.arange(200, dtype=np.uint8).reshape(10, 20)).resize((7, 4), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(
        scaling((10, 20), (4, 7)).mask(np.arange(200, dtype=np.uint8).reshape(10, 20), 0), np.array(expected)
    )


@pytest.mark.parametrize("placement", [*MAPS, TILTED.then(quarter_turns((24, 36), 1))])
def test_a_mask_pixel_is_that_of_the_point_at_its_center(placement: Placement) -> None:
    mask = np.random.default_rng(0).integers(0, 250, SIZE, dtype=np.uint8)
    view, back = placement.mask(mask, 255), placement.inverse(SIZE)
    for y, x in np.random.default_rng(1).integers(0, placement.size, (60, 2)):
        column, row = np.floor(back.points(np.array([x + 0.5, y + 0.5])) + 1e-12).astype(int)
        inside = 0 <= row < 20 and 0 <= column < 30
        assert view[y, x] == (mask[row, column] if inside else 255)


@pytest.mark.parametrize("placement", [*MAPS, shift(100, 0, (10, 10))])
def test_a_stack_of_objects_is_the_mask_of_each(placement: Placement) -> None:
    boxes = np.array([[2, 3, 9, 11], [0, 0, 30, 20], [25, 5, 30, 9], [4, 4, 4, 4]])
    masks = np.zeros((4, *SIZE), dtype=np.uint8)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = np.random.default_rng(0).integers(0, 2, (y1 - y0, x1 - x0))
    crops = [mask[y0:y1, x0:x1] for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True)]
    stack = placement.stack(iter(crops), boxes)
    np.testing.assert_array_equal(stack, [placement.mask(mask, 0) for mask in masks])
    painted = np.full(placement.size, 9, dtype=np.uint8)
    placement.paint(painted, crops[0], (2, 3, 9, 11), 5)
    np.testing.assert_array_equal(painted, np.where(stack[0] > 0, 5, 9))
    assert placement.stack([], np.zeros((0, 4))).shape == (0, *placement.size)


def test_a_rotated_box_becomes_its_envelope_around_the_same_center() -> None:
    eighth = window((50.0, 50.0), (50.0, 50.0), math.pi / 4, (100, 100))
    boxes, visible = eighth.boxes(np.array([[40, 45, 60, 55]]))
    np.testing.assert_allclose(
        boxes, [[50 - 15 / math.sqrt(2), 50 - 15 / math.sqrt(2), 50 + 15 / math.sqrt(2), 50 + 15 / math.sqrt(2)]]
    )
    assert visible.tolist() == [1.0]
    assert not eighth.is_aligned
    assert quarter_turns(SIZE, 1).is_aligned


def test_boxes_are_clipped_and_say_how_much_of_them_is_visible() -> None:
    boxes, visible = shift(-10, 0, (20, 20)).boxes(
        np.array([[0, 0, 20, 10], [12, 5, 18, 9], [0, 0, 5, 5], [3, 3, 3, 9]])
    )
    np.testing.assert_allclose(boxes, [[0, 0, 10, 10], [2, 5, 8, 9], [0, 0, 0, 5], [0, 3, 0, 9]])
    assert visible.tolist() == [0.5, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_stored_picture_turns_upright_as_pillow_turns_it(orientation: int) -> None:
    stored = np.random.default_rng(0).integers(0, 256, SIZE, dtype=np.uint8)
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = orientation
    expected = np.array(ImageOps.exif_transpose(image))
    placement = upright(orientation, SIZE)
    assert placement.size == expected.shape
    np.testing.assert_array_equal(placement.mask(stored, 0), expected)


def test_the_scale_is_the_area_of_a_pixel() -> None:
    assert scaling(SIZE, (40, 90)).scale == pytest.approx(6.0)
    assert TILTED.scale == pytest.approx(4.0)
