"""cleanlab 2.9.0 (`find_label_issues`), in 200 random tables of 2 to 7 classes with 10 % wrong labels: `filter_by="confident_learning"`
counts as many suspects in each; `filter_by="low_self_confidence"` lists 10,339 of 10,345 too, in the same order. The other six have a
label that is the likeliest class, though not a likely one."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.simulations.suspects import planted, precision
from raytl.metrics.suspects import Suspect, is_trusted, pooled, suspects


def test_the_label_that_the_probabilities_contradict_is_suspect_and_its_class_suggested() -> None:
    probabilities = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7]]
    result = suspects([0, 0, 0, 1, 1], probabilities)
    assert [(each.place, each.given, each.suggested) for each in result] == [(2, 0, 1)]
    assert result[0].margin == pytest.approx(0.8)


def test_a_class_less_likely_than_for_its_own_images_speaks_for_none() -> None:
    probabilities = [[0.4, 0.6], [0.9, 0.1], [0.1, 0.9], [0.2, 0.8]]  # 0.6 is below the mean of class 1, 0.85
    assert suspects([0, 0, 1, 1], probabilities) == ()


def test_the_likeliest_of_the_classes_that_speak_for_an_image_is_suggested() -> None:
    probabilities = [[0.1, 0.4, 0.5], [0.8, 0.1, 0.1], [0.1, 0.35, 0.3], [0.2, 0.1, 0.45]]
    assert [each.suggested for each in suspects([0, 0, 1, 2], probabilities)] == [2]
    assert [each.suggested for each in suspects([0, 0, 1, 2], [[0.1, 0.4, 0.5], *probabilities[1:3], [0, 0, 1]])] == [1]


def test_as_many_are_listed_as_the_confident_joint_counts_and_their_labels_are_the_least_likely() -> None:
    # class 1 speaks for image 3 alone; the label of image 0, for which no class speaks, is less likely
    table = [[0.3, 0.4, 0.3], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.35, 0.65, 0.0], [0.0, 0.6, 0.4], [0.0, 0.0, 1.0]]
    assert [(each.place, each.suggested) for each in suspects([0, 0, 0, 0, 1, 2], table)] == [(0, 1)]


def test_the_most_suspect_comes_first() -> None:
    given, probabilities, _ = planted(0)
    result = suspects(given, probabilities)
    own = [probabilities[each.place, each.given] for each in result]
    assert own == sorted(own)
    assert min(each.margin for each in result) > 0


def test_of_the_first_suspects_at_least_60_percent_were_flipped_and_they_are_half_of_the_flipped_ones() -> None:
    results = [precision(*planted(seed)) for seed in range(20)]
    assert min(first for first, _ in results) >= 0.6
    assert np.mean([listed for _, listed in results]) >= 0.5


def test_a_class_without_images_is_never_suggested() -> None:
    assert suspects([0, 0, 1], [[0.1, 0.1, 0.8], [0.9, 0.1, 0.0], [0.1, 0.9, 0.0]]) == ()


def test_labels_that_the_probabilities_confirm_are_not_suspect_and_no_images_have_none() -> None:
    assert suspects([0, 1, 2], np.eye(3)) == ()
    assert suspects([], np.zeros((0, 3))) == ()
    assert suspects([0, 0], [[1.0], [1.0]]) == ()


def test_a_suspect_is_a_value() -> None:
    assert suspects([0, 0, 1], [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]) == (Suspect(0, 0, 1, 0.0, 1.0),)


def test_pooled_probabilities_are_the_geometric_mean() -> None:
    first, second = np.array([[0.9, 0.1], [1.0, 0.0]]), np.array([[0.4, 0.6], [0.5, 0.5]])
    odds = np.sqrt(0.9 * 0.4 / (0.1 * 0.6))
    result = pooled([first, second])
    np.testing.assert_allclose(result[0], [odds / (1 + odds), 1 / (1 + odds)])
    np.testing.assert_allclose(result.sum(axis=1), 1.0)
    np.testing.assert_allclose(pooled([first])[0], first[0])


@pytest.mark.parametrize(
    ("accuracy", "classes", "expected"), [(0.53, 2, False), (0.76, 2, True), (0.56, 10, True), (0.5, 10, False)]
)
def test_answers_are_trusted_from_halfway_between_guessing_and_perfection(
    accuracy: float, classes: int, expected: bool
) -> None:
    assert is_trusted(accuracy, classes) is expected
