"""Matching: which cell learns which object."""

from __future__ import annotations

import torch

from raytl.tasks.detection.matching import BACKGROUND, IGNORED, STRIDES, cells, grids, match, positives
from tests.tasks.detection.objects import SIZE, batch, objects

CELLS = cells(grids(SIZE), STRIDES)


def test_cells_are_in_the_centers_of_their_strides() -> None:
    found = cells([(1, 2), (1, 1)], [8, 16])
    assert found.centers.tolist() == [[4, 4], [12, 4], [8, 8]]
    assert found.strides.tolist() == [8, 8, 16]
    assert found.ranges.tolist() == [[0, 64], [0, 64], [64, float("inf")]]


def test_cells_learn_the_smallest_object_around_them_and_near_its_center() -> None:
    learned = match(CELLS, objects([[0, 0, 60, 60], [24, 24, 40, 40]], [0, 1]))
    fine = learned[: grids(SIZE)[0][0] * grids(SIZE)[0][1]].reshape(grids(SIZE)[0])
    assert fine[3:5, 3:5].unique().tolist() == [1]
    assert fine[2, 2] == 0
    assert fine[0, 0] == BACKGROUND


def test_large_objects_are_learned_on_coarse_maps() -> None:
    learned = match(CELLS, objects([[0, 0, 128, 96]], [0]))
    counts = [rows * columns for rows, columns in grids(SIZE)]
    by_map = [bool((part >= 0).any()) for part in learned.split(counts)]
    assert by_map == [False, True, False, False, False]


def test_cells_inside_a_group_are_ignored_but_for_those_of_an_object() -> None:
    learned = match(CELLS, objects([[0, 0, 60, 60], [20, 20, 44, 44]], [0, 1], [True, False]))
    fine = learned[: grids(SIZE)[0][0] * grids(SIZE)[0][1]].reshape(grids(SIZE)[0])
    assert fine[0, 0] == IGNORED
    assert fine[3, 3] == 1
    assert fine[-1, -1] == BACKGROUND


def test_positives_add_up_over_the_parts_of_a_batch() -> None:
    whole = batch()
    assert positives(whole) == positives(whole[:2]) + positives(whole[2:]) > 0
    assert positives(whole[1:2]) == positives(whole[3:4]) == 0


def test_cells_learn_nothing_of_an_empty_view() -> None:
    assert torch.equal(match(CELLS, objects([], [])), torch.full((len(CELLS.centers),), BACKGROUND))
