from __future__ import annotations

import numpy as np

from raytl.tasks.instances.prediction import InstancesPrediction
from tests.tasks.instances.answers import CLASSES, bitmaps, nothing, segments


def test_objects_have_their_masks_and_the_highest_score_comes_first() -> None:
    objects = InstancesPrediction(segments(), CLASSES).instances
    assert [each.score for each in objects] == [0.75, 0.5, 0.25]
    assert np.array_equal([each.mask for each in objects], bitmaps()[[1, 0, 2]])
    assert (objects[0].x_min, objects[0].y_max) == (12, 9)


def test_the_text_is_short() -> None:
    prediction = InstancesPrediction(segments(), ("dog", "cat"), "a.jpg")
    assert repr(prediction) == "InstancesPrediction(2 cat, 1 dog, photo='a.jpg')"
    assert repr(prediction.instances[0]) == "SegmentedObject('cat', 0.750, 40 x 30 pixels)"
    assert repr(InstancesPrediction(nothing(), CLASSES)) == "InstancesPrediction(no objects)"


def test_a_picture_shows_the_masks() -> None:
    photo = np.full((30, 40, 3), 128, np.uint8)
    assert np.asarray(InstancesPrediction(segments(), CLASSES).draw(photo)).std() > 0
    assert np.asarray(InstancesPrediction(nothing(), CLASSES).draw(photo)).std() == 0
