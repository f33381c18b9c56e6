from __future__ import annotations

import numpy as np

from raytl.metrics.segmentation import VOID
from raytl.tasks.colors import class_color, ink_on, palette


def test_the_classes_of_a_mask_have_different_colors() -> None:
    colors = [class_color(place) for place in range(60)]
    assert len(set(colors)) == 60
    distances = np.abs(np.array(colors)[:, None].astype(int) - np.array(colors)[None]).sum(axis=2)
    assert distances[:10, :10][~np.eye(10, dtype=bool)].min() > 80


def test_the_color_of_a_class_does_not_depend_on_the_number_of_classes() -> None:
    assert palette(3)[:3].tolist() == palette(200)[:3].tolist() == [list(class_color(place)) for place in range(3)]


def test_void_is_white_and_other_values_are_black() -> None:
    assert palette(2)[VOID].tolist() == [255, 255, 255]
    assert palette(2)[2].tolist() == [0, 0, 0]


def test_text_is_black_on_light_and_white_on_dark() -> None:
    assert ink_on((255, 220, 20)) == (0, 0, 0)
    assert ink_on((40, 40, 120)) == (255, 255, 255)
