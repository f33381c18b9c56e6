from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from raytl.tasks.sheet import Pair, contact_sheet, side_by_side


def pair(width: int = 460, height: int = 345, name: str = "a/1.jpg") -> Pair:
    truth, prediction = (Image.new("RGB", (width, height), color) for color in ((200, 0, 0), (0, 0, 200)))
    return Pair(truth, prediction, name, "1 missed")


def test_truth_is_left_and_prediction_right() -> None:
    sheet = side_by_side(pair())
    assert sheet.getpixel((100, 100)) == (200, 0, 0)
    assert sheet.getpixel((600, 100)) == (0, 0, 200)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_a_contact_sheet_holds_all_pairs(count: int) -> None:
    sheet = np.asarray(contact_sheet([pair(400 + 10 * i, 200 + 30 * i) for i in range(count)], "Worst images"))
    red = int(np.all(sheet == (200, 0, 0), axis=2).sum())
    assert red == sum((400 + 10 * i) * (200 + 30 * i) for i in range(count))
    assert sheet.shape[1] >= 480


@pytest.mark.parametrize("name", ["x" * 500, "new\nline.jpg", "caf\udce9.jpg", "../../etc", ""])
def test_names_of_any_text_stay_in_their_line(name: str) -> None:
    sheet = np.asarray(contact_sheet([pair(name=name)], name))
    assert (sheet[:, -5:] == 255).all()
