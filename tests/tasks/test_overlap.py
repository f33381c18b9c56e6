"""Overlaps, areas and boxes of boxes and masks; none of either is no error."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.data.annotations import rle
from raytl.tasks.overlap import Run, box_areas, box_overlaps, mask_areas, mask_boxes, mask_overlaps

SMALL, LARGE = [0, 0, 4, 4], [0, 0, 8, 4]


def run(left: int, right: int) -> Run:
    """A mask of 4 x 8 pixels from one column to another."""
    bitmap = np.zeros((4, 8), dtype=bool)
    bitmap[:, left:right] = True
    return {"size": [4, 8], "counts": rle.from_bitmap(bitmap)}


def test_a_crowd_counts_the_part_of_the_detection_that_it_covers() -> None:
    crowd = np.array([False, True])
    assert box_overlaps([SMALL], [LARGE, LARGE], crowd).tolist() == [[0.5, 1.0]]
    assert mask_overlaps([run(0, 4)], [run(0, 8), run(0, 8)], crowd).tolist() == [[0.5, 1.0]]


def test_areas_and_boxes_are_in_pixels() -> None:
    assert box_areas([SMALL, LARGE]).tolist() == [16, 32]
    assert mask_areas([run(0, 4), run(3, 8)]).tolist() == [16, 20]
    assert mask_boxes([run(3, 8)]).tolist() == [[3, 0, 8, 4]]


@pytest.mark.parametrize(("detected", "truths"), [(0, 2), (2, 0), (0, 0)])
def test_nothing_overlaps_nothing(detected: int, truths: int) -> None:
    crowd = np.zeros(truths, dtype=bool)
    assert box_overlaps(np.zeros((detected, 4)), np.zeros((truths, 4)), crowd).shape == (detected, truths)
    assert mask_overlaps([run(0, 1)] * detected, [run(0, 1)] * truths, crowd).shape == (detected, truths)
    assert mask_areas([]).shape == (0,) and mask_boxes([]).shape == (0, 4) and box_areas([]).shape == (0,)
