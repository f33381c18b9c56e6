from __future__ import annotations

import numpy as np
import pytest

from raytl.tasks.segmentation.prediction import SegmentationPrediction

MAP = np.repeat(np.array([[0, 0, 0, 1]], np.uint8), 2, axis=0)


def test_fractions_and_masks_are_by_name() -> None:
    prediction = SegmentationPrediction(MAP, ("sky", "road", "car"))
    assert prediction.fractions == {"sky": 0.75, "road": 0.25, "car": 0.0}
    assert prediction.mask("road").tolist() == [[False, False, False, True]] * 2
    with pytest.raises(ValueError, match="not in tuple"):
        prediction.mask("tree")


def test_the_text_is_short() -> None:
    assert (
        repr(SegmentationPrediction(MAP, ("sky", "road", "car"), "a.jpg"))
        == "SegmentationPrediction(sky 75 %, road 25 %, photo='a.jpg')"
    )


def test_a_picture_shows_the_classes() -> None:
    assert SegmentationPrediction(MAP, ("sky", "road")).draw(np.zeros((200, 400, 3), np.uint8)).width == 480
