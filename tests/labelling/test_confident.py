"""Which images get a label: the most certain ones of each class."""

from __future__ import annotations

import numpy as np

from raytl.labelling.confident import confident

TABLE = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4], [0.45, 0.55], [0.4, 0.6]])


def test_each_class_has_a_threshold_of_its_own() -> None:
    given = confident(TABLE, 0.5)
    assert given.rows.tolist() == [0, 1, 5]
    assert given.classes.tolist() == [0, 0, 1]
    assert given.confidence.tolist() == [0.9, 0.8, 0.6]


def test_all_are_chosen_by_a_share_of_one_and_none_below_the_least() -> None:
    assert len(confident(TABLE, 1.0)) == 6
    assert confident(TABLE, 1.0, 0.65).rows.tolist() == [0, 1, 2]
    assert len(confident(TABLE, 1.0, 0.95)) == 0


def test_a_small_share_still_has_an_image_of_each_class() -> None:
    assert confident(TABLE, 0.01).classes.tolist() == [0, 1]
