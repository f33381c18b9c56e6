from __future__ import annotations

import math

import numpy as np
import pytest

from raytl.data.transforms import Preprocess
from raytl.evaluation.explanation.heat import evidence_for, on_canvas, summary

SIDE = 32
CROP = Preprocess(SIDE, 40, "center", "bilinear", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
SQUASH = Preprocess(SIDE, SIDE, "squash", "bilinear", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))


def spot(row: int, column: int, cells: int = 8) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return a map with one cell of evidence."""
    values = np.zeros((cells, cells))
    values[row, column] = 3.0
    return values


def test_negative_and_undefined_values_are_no_evidence() -> None:
    assert evidence_for(np.array([[-1.0, np.nan], [np.inf, 2.0]])).tolist() == [[0, 0], [0, 2]]


def test_an_even_map_has_the_shares_of_its_areas() -> None:
    found = summary(np.ones((7, 7)), (100, 50), SQUASH)
    assert (found.border, found.center) == pytest.approx((0.36, 0.25))
    assert (found.x, found.y, found.peak) == pytest.approx((0.5, 0.5, 1.0))


def test_a_map_without_evidence_has_no_center() -> None:
    found = summary(np.zeros((7, 7)), (100, 50), SQUASH)
    assert found.peak == 0
    assert all(math.isnan(value) for value in (found.x, found.y, found.border, found.center))


def test_the_center_of_mass_is_a_place_in_the_photo() -> None:
    assert summary(spot(3, 6), (200, 100), SQUASH).x == pytest.approx(6.5 / 8, abs=0.01)
    # of a photo twice as wide as high, a center crop of 32 of 40 rows sees the middle 0.8 of its height and 0.4 of its width
    found = summary(spot(2, 5), (200, 100), CROP)
    assert found.x == pytest.approx(0.3 + 0.4 * 5.5 / 8, abs=0.01)
    assert found.y == pytest.approx(0.1 + 0.8 * 2.5 / 8, abs=0.01)


def test_a_corner_is_in_the_border_and_the_middle_in_the_center() -> None:
    corner, middle = summary(spot(0, 0), (64, 64), SQUASH), summary(spot(4, 4), (64, 64), SQUASH)
    assert corner.border > 0.9
    assert corner.center == 0
    assert middle.border == pytest.approx(0)
    assert middle.center == pytest.approx(1)


@pytest.mark.parametrize("canvas", [(200, 100), (100, 50)])
def test_a_cell_is_drawn_where_the_network_saw_it(canvas: tuple[int, int]) -> None:
    heat, seen = on_canvas(spot(2, 5), (200, 100), canvas, CROP)
    assert heat.shape == seen.shape == canvas[::-1]
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert (column + 0.5) / canvas[0] == pytest.approx(0.3 + 0.4 * 5.5 / 8, abs=0.02)
    assert (row + 0.5) / canvas[1] == pytest.approx(0.1 + 0.8 * 2.5 / 8, abs=0.02)


def test_what_the_crop_cuts_off_is_not_seen() -> None:
    heat, seen = on_canvas(np.ones((4, 4)), (200, 100), (200, 100), CROP)
    columns, rows = np.flatnonzero(seen.any(axis=0)), np.flatnonzero(seen.any(axis=1))
    assert (columns[0], columns[-1], rows[0], rows[-1]) == (60, 139, 10, 89)
    assert (heat[seen] == 1).all()
    assert not heat[~seen].any()


def test_a_squashed_photo_is_seen_whole() -> None:
    assert on_canvas(np.ones((4, 4)), (31, 17), (31, 17), SQUASH)[1].all()


def test_the_map_is_the_inverse_of_the_view() -> None:
    """A pixel of the photo has the value of the cell that its pixel of the view is in, for cells of one pixel."""
    values = np.arange(SIDE * SIDE, dtype=np.float64).reshape(SIDE, SIDE)
    same = Preprocess(SIDE, SIDE, "center", "bilinear", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    np.testing.assert_allclose(on_canvas(values, (SIDE, SIDE), (SIDE, SIDE), same)[0], values)
