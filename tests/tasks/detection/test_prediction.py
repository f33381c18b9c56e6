from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.errors import UserError
from raytl.tasks.detection.prediction import DetectedBox, DetectionPrediction
from tests.tasks.detection.answers import detections

ANSWER = detections([[1, 2, 30, 40], [5, 5, 6, 6], [0, 0, 9, 9]], [0.25, 0.75, 0.5], [1, 0, 1])


def test_boxes_are_objects_with_the_highest_score_first() -> None:
    boxes = DetectionPrediction(ANSWER, ("WBC", "RBC")).boxes
    assert boxes[0] == DetectedBox("WBC", 0.75, 5, 5, 6, 6)
    assert [box.score for box in boxes] == [0.75, 0.5, 0.25]


def test_the_text_is_short() -> None:
    assert (
        repr(DetectionPrediction(ANSWER, ("WBC", "RBC"), "a.jpg")) == "DetectionPrediction(2 RBC, 1 WBC, photo='a.jpg')"
    )
    assert repr(DetectionPrediction(detections([], [], []), ("a",))) == "DetectionPrediction(no objects)"
    many = detections([[0, 0, 1, 1]] * 7, [0.5] * 7, range(7))
    assert repr(DetectionPrediction(many, tuple("abcdefg"))).endswith("1 e and 2 more classes)")


def test_a_notebook_shows_the_photo_with_its_boxes(tmp_path: Path) -> None:
    Image.new("RGB", (500, 400)).save(tmp_path / "a.png")
    shown = DetectionPrediction(ANSWER, ("WBC", "RBC"), str(tmp_path / "a.png"))._repr_png_()
    assert shown is not None
    assert Image.open(io.BytesIO(shown)).size == (500, 430), "the photo above the names of its classes"


def test_a_photo_in_memory_is_passed_to_draw() -> None:
    prediction = DetectionPrediction(ANSWER, ("WBC", "RBC"))
    assert prediction.draw(np.zeros((400, 500, 3), np.uint8)).size == (500, 430)
    assert prediction._repr_png_() is None
    with pytest.raises(UserError, match="expected that image. Call draw"):
        prediction.draw()


def test_a_photo_that_is_gone_is_an_error_of_draw_and_text_in_a_notebook(tmp_path: Path) -> None:
    prediction = DetectionPrediction(ANSWER, ("WBC", "RBC"), str(tmp_path / "gone.png"))
    assert prediction._repr_png_() is None
    with pytest.raises(UserError, match="gone.png: the photo cannot be read"):
        prediction.draw()
