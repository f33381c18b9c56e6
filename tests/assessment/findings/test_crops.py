"""Crops show the box in the middle, its surroundings, and a neutral color beyond the edge of the photo."""

from __future__ import annotations

import numpy as np
from PIL import Image

from raytl.assessment.findings.crops import ANNOTATED, PREDICTED, Crop, Drawn, crop_sheet

PHOTO = Image.new("RGB", (100, 100), (10, 20, 30))


def crop(x: float, *boxes: Drawn) -> Crop:
    return Crop(PHOTO, np.array([x, 40, x + 20, 60], np.float32), boxes, ("photo.jpg", "a: missing?"))


def pixels(*crops: Crop) -> set[tuple[int, ...]]:
    return set(map(tuple, np.asarray(crop_sheet(crops)).reshape(-1, 3).tolist()))


def test_only_boxes_inside_the_crop_are_drawn() -> None:
    inside, outside = np.array([42, 42, 58, 58], np.float32), np.array([0, 0, 5, 5], np.float32)
    assert PREDICTED in pixels(crop(40, Drawn(inside, PREDICTED)))
    assert ANNOTATED not in pixels(crop(40, Drawn(outside, ANNOTATED)))


def test_beyond_the_edge_of_the_photo_is_neutral() -> None:
    assert (225, 228, 232) in pixels(crop(0)) and (225, 228, 232) not in pixels(crop(40))
    assert (10, 20, 30) in pixels(crop(0))


def test_crops_stand_in_rows_of_four() -> None:
    one, five = crop_sheet([crop(40)]), crop_sheet([crop(40)] * 5)
    assert five.width > 3.5 * one.width and five.height > 1.8 * one.height
