from __future__ import annotations

import numpy as np
from PIL import Image

from raytl.evaluation.explanation.picture import Caption, overlay, sheet

CAPTION = Caption("predicted glass 87.0 %, true metal", True, "Grad-CAM for glass", "0", "a\n" + "b" * 200 + ".jpg")


def test_the_most_evidence_is_the_brightest_and_none_leaves_a_gray_photo() -> None:
    photo = Image.new("RGB", (40, 20), (200, 40, 40))
    heat = np.zeros((20, 40))
    heat[:, 30:] = 0.7
    drawn = np.asarray(overlay(photo, heat, np.ones((20, 40), bool)))
    assert (drawn[5, 5] == drawn[5, 5, 0]).all()
    assert drawn[5, 35].sum() > 2 * drawn[5, 5].sum()


def test_what_the_network_does_not_see_is_dark() -> None:
    seen = np.ones((20, 40), bool)
    seen[:, :10] = False
    drawn = np.asarray(overlay(Image.new("RGB", (40, 20), (200, 200, 200)), np.zeros((20, 40)), seen))
    assert drawn[5, 5].max() < 80 < drawn[5, 35].min()


def test_the_scale_begins_at_the_lowest_value_on_request() -> None:
    photo, heat = Image.new("RGB", (4, 4), (90, 90, 90)), np.full((4, 4), 0.5)
    heat[0, 0] = 1.0
    drawn = np.asarray(overlay(photo, heat, np.ones((4, 4), bool), low=0.5))
    assert drawn[2, 2].tolist() == [90, 90, 90]


def test_a_sheet_has_both_pictures_and_room_for_long_names() -> None:
    photo = Image.new("RGB", (400, 300), (10, 200, 10))
    page = sheet(photo, Image.new("RGB", (400, 300), (10, 10, 200)), CAPTION)
    pixels = np.asarray(page)
    assert page.width > 800
    assert page.height > 300
    assert (pixels == (10, 200, 10)).all(axis=2).sum() == 400 * 300
    assert (pixels == (10, 10, 200)).all(axis=2).sum() == 400 * 300


def test_the_texts_have_room_beside_a_narrow_photo() -> None:
    narrow = Image.new("RGB", (2, 800), (10, 200, 10))
    page = sheet(narrow, narrow, CAPTION)
    assert 480 < page.width < 800
    assert (
        page.crop((page.width - 60, 830, page.width, page.height)).getextrema() == ((255, 255),) * 3
    )  # no text overflows
