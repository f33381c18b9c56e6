"""Greedy matching, and the confusion of classes with the background."""

from __future__ import annotations

import numpy as np

from raytl.metrics.matching import confusion, match
from tests.metrics.coco import Image

NEAR, FAR = [0, 0, 10, 10], [50, 50, 60, 60]


def matrix(*images: Image, score: float = 0.3) -> list[list[int]]:
    return confusion([image.scene() for image in images], 2, score=score).tolist()


def test_the_detection_with_the_higher_score_takes_the_object() -> None:
    overlaps = np.array([[0.6, 0.0], [0.9, 0.55]])
    objects = match(overlaps, np.zeros(2, bool), np.zeros((1, 2), bool), np.array([0.5, 0.58]))
    assert objects[0].tolist() == [[0, 1], [0, -1]]


def test_the_later_of_equal_objects_is_taken_and_an_ignored_one_only_without_another() -> None:
    overlaps = np.array([[0.8, 0.8, 0.9]])
    ignored = np.array([[False, False, True], [True, True, True]])
    objects = match(overlaps, np.zeros(3, bool), ignored, np.array([0.5]))
    assert objects[:, 0].tolist() == [[1], [2]]


def test_hits_misses_false_alarms_and_other_classes_each_have_their_cell() -> None:
    image = Image([NEAR, FAR], [0, 1], [False, False], [NEAR, [200, 200, 210, 210]], [0.9, 0.8], [0, 1])
    assert matrix(image) == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert matrix(Image([NEAR], [0], [False], [NEAR], [0.9], [1])) == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_an_object_of_the_own_class_goes_before_a_closer_one_of_another() -> None:
    shifted = [1, 0, 11, 10]
    image = Image([NEAR, shifted], [1, 0], [False, False], [NEAR, shifted], [0.9, 0.8], [0, 1])
    assert matrix(image) == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_a_second_detection_of_an_object_is_a_false_alarm_and_low_scores_are_left_out() -> None:
    image = Image([NEAR], [0], [False], [NEAR, NEAR], [0.9, 0.4], [0, 0])
    assert matrix(image) == [[1, 0, 0], [0, 0, 0], [1, 0, 0]]
    assert matrix(image, score=0.5) == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_crowds_are_neither_missed_nor_hit() -> None:
    image = Image([[0, 0, 100, 100]], [0], [True], [NEAR, FAR, [300, 300, 310, 310]], [0.9, 0.8, 0.7], [0, 1, 1])
    assert matrix(image) == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_an_image_without_objects_or_detections_counts_nothing() -> None:
    assert matrix(Image([], [], [], [], [], [])) == np.zeros((3, 3)).tolist()
    assert matrix(Image([NEAR], [1], [False], [], [], [])) == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
