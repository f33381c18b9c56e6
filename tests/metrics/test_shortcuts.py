from __future__ import annotations

import numpy as np
import pytest

from experiments.simulations.drawn import CLASSES, alarms, photos, plant
from raytl.metrics.shortcuts import CELLS, find_shortcuts


def _planted(
    views: np.ndarray, targets: np.ndarray, cell: tuple[float, float], target: int = 2, fraction: float = 0.9
) -> None:
    """Draw a white square of the size of a cell in most images of the class."""
    side = views.shape[1] // CELLS
    plant(views, targets, target, int(cell[0] * side), int(cell[1] * side), side, fraction)


@pytest.mark.parametrize("cell", [(6, 6), (0, 7), (3, 4), (3.5, 4), (6.5, 1.5)])
def test_a_white_square_in_most_images_of_a_class_is_named_at_its_cell(cell: tuple[float, float]) -> None:
    views, targets = photos(0)
    _planted(views, targets, cell)
    (found,) = find_shortcuts(views, targets, CLASSES)
    assert (found.target, found.cell, found.cells) == (2, cell, (cell,))
    assert found.z > (7 if cell == (int(cell[0]), int(cell[1])) else 6) and found.auc > 0.9
    assert found.fraction == pytest.approx(0.9, abs=0.03) and found.other_fraction < 0.1


def test_a_square_a_quarter_of_a_cell_off_every_grid_is_named_at_a_cell_that_it_touches() -> None:
    views, targets = photos(0)
    _planted(views, targets, (2.25, 5.25))
    (found,) = find_shortcuts(views, targets, CLASSES)
    assert found.target == 2
    assert all(abs(cell - place) < 1 for cell, place in zip(found.cell, (2.25, 5.25), strict=True))


@pytest.mark.parametrize("seed", [0, 1])
def test_photos_whose_classes_differ_in_their_object_raise_no_alarm(seed: int) -> None:
    assert find_shortcuts(*photos(seed), CLASSES) == ()


@pytest.mark.thorough
def test_of_20_clean_sets_at_most_one_raises_an_alarm() -> None:
    assert alarms(20) <= 1


def test_a_square_in_all_classes_alike_is_no_shortcut() -> None:
    views, targets = photos(0)
    for target in range(CLASSES):
        _planted(views, targets, (6, 6), target)
    assert find_shortcuts(views, targets, CLASSES) == ()


def test_a_bar_along_the_border_is_found_in_its_cells() -> None:
    views, targets = photos(0)
    views[targets == 1, :4] = 0
    (found,) = find_shortcuts(views, targets, CLASSES)
    assert found.target == 1 and {row for row, _ in found.cells} == {0} and len(found.cells) >= 6


def test_a_class_with_few_images_is_not_searched() -> None:
    views, targets = photos(0)
    few = np.concatenate([np.flatnonzero(targets == 2)[:9], np.flatnonzero(targets != 2)])
    views, targets = views[few], targets[few]
    _planted(views, targets, (6, 6), fraction=1.0)
    assert find_shortcuts(views, targets, CLASSES) == ()
