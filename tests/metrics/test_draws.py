"""Draws of images as counts, and means over what is defined."""

from __future__ import annotations

import numpy as np

from raytl.metrics.draws import blocks, counts_of, mean_of_defined, ratio, values


def test_counts_say_how_often_each_image_is_drawn() -> None:
    assert counts_of(np.array([[0, 2, 2], [1, 1, 1]]), 4).T.tolist() == [[1, 0, 2, 0], [0, 3, 0, 0]]


def test_blocks_contain_all_draws_in_order() -> None:
    draws = np.arange(10).reshape(5, 2)
    for step in (0, 1, 2, 5, 9):
        np.testing.assert_array_equal(np.concatenate(list(blocks(draws, step))), draws)


def test_a_ratio_to_nothing_is_undefined_and_left_out_of_the_mean() -> None:
    scores = ratio(np.array([[1, 1], [0, 2]]), np.array([[2, 0], [0, 0]]))
    np.testing.assert_array_equal(scores, [[0.5, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(mean_of_defined(scores), [0.5, np.nan])


def test_values_are_the_scores_of_each_image_once() -> None:
    assert values(lambda draws: {"sum": draws.sum(axis=1).astype(float)}, 4) == {"sum": 6}
