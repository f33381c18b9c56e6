"""The colors of classes: one for each, by its place in the model's classes, in every picture and mask of a run."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.segmentation import VOID

Color = tuple[int, int, int]

_CHOSEN: tuple[Color, ...] = (
    (255, 149, 0),
    (0, 200, 235),
    (255, 55, 140),
    (180, 235, 60),
    (40, 120, 255),
    (175, 82, 222),
    (255, 220, 20),
    (30, 175, 95),
    (176, 124, 84),
    (255, 150, 200),
)
_GOLDEN = 0.618033988749895


def class_color(place: int) -> Color:
    """Return the RGB color of the class at this place: chosen for the first ten, then hues by the golden ratio."""
    if place < len(_CHOSEN):
        return _CHOSEN[place]
    shade = (place // 3) % 3
    red, green, blue = colorsys.hsv_to_rgb(place * _GOLDEN % 1.0, (0.85, 0.55, 0.7)[shade], (0.95, 1.0, 0.7)[shade])
    return round(255 * red), round(255 * green), round(255 * blue)


def palette(classes: int) -> NDArray[np.uint8]:
    """Return the colors of all byte values, `(256, 3)`: of the classes, black for values without one, white for void."""
    colors = np.zeros((256, 3), dtype=np.uint8)
    for place in range(min(classes, VOID)):
        colors[place] = class_color(place)
    colors[VOID] = 255
    return colors


def ink_on(color: Color) -> Color:
    """Return black or white, whichever is easier to read on `color`. Source: ITU-R BT.601 luma."""
    red, green, blue = color
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)
