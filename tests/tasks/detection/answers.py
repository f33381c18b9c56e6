"""Detections for the tests of reports, pictures and files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raytl.tasks.answers import Answers
from raytl.tasks.detection.answer import Detections

CLASSES = ('the "dog", big', "line\nbreak", "=cat", "ガラス")
PATHS = ("/d/a/1.jpg", "/d/b/1.jpg", '/d/b/quo"te,\n.jpg')


def detections(boxes: Sequence[Sequence[float]], scores: Sequence[float], labels: Sequence[int]) -> Detections:
    """The answer for one image."""
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(corners, np.array(scores, np.float32), np.array(labels, np.int64))


def answers() -> Answers[Detections]:
    """Three photos: two objects in falling score with one of one pixel and one across the border; none; one object."""
    return Answers(
        PATHS,
        ((640, 480), (30, 20), (100, 100)),
        (
            detections([[-5, 10.126, 50.5, 500], [9, 9, 10, 10]], [0.25, 0.75], [2, 0]),
            detections([], [], []),
            detections([[10, 20, 30, 60]], [0.5], [1]),
        ),
        CLASSES,
    )


def no_answers() -> Answers[Detections]:
    """No photos."""
    return Answers((), (), (), CLASSES)
