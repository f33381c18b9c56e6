"""Instances for the tests of reports, pictures and files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask

from raytl.tasks.answers import Answers
from raytl.tasks.instances.answer import Segments

CLASSES = ('the "dog", big', "=cat")
PATHS = ("/d/a/1.jpg", "/d/b/1.jpg")


def bitmaps() -> NDArray[np.bool_]:
    """A square, one pixel within it, and an L, `(3, 30, 40)`."""
    masks = np.zeros((3, 30, 40), bool)
    masks[0, 5:15, 10:20] = True
    masks[1, 8, 12] = True
    masks[2, 20:30, 30] = masks[2, 29, 30:40] = True
    return masks


def segments() -> Segments:
    """The answer for an image of 40 x 30 pixels; the pixel has the highest score."""
    counts = tuple(mask.encode(np.asfortranarray(each.astype(np.uint8)))["counts"].decode() for each in bitmaps())
    boxes = np.array([[10, 5, 20, 15], [12, 8, 13, 9], [30, 20, 40, 30]], np.float32)
    scores, labels = np.array([0.5, 0.75, 0.25], np.float32), np.array([0, 1, 1])
    return Segments(boxes, scores, labels, counts, (40, 30))


def nothing() -> Segments:
    """The answer for an image of 40 x 30 pixels without objects."""
    return Segments(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), (), (40, 30))


def answers() -> Answers[Segments]:
    """Two photos, the second without objects."""
    return Answers(PATHS, ((40, 30), (40, 30)), (segments(), nothing()), CLASSES)
