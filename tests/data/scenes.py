"""Drawn scenes: rectangles of one color each on a gray ground, whose boxes can be read back from the pixels of any view."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GROUND = 96
COLORS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 0, 255], [0, 255, 255]], dtype=np.uint8)


def scene(height: int, width: int, boxes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """A picture with a rectangle of its own color for each of `boxes (n, 4)`."""
    picture = np.full((height, width, 3), GROUND, dtype=np.uint8)
    for color, (x0, y0, x1, y1) in zip(COLORS, boxes, strict=False):
        picture[y0:y1, x0:x1] = color
    return picture


def apart(height: int, width: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Four boxes with whole corners, one in each quarter of the picture, apart by some pixels."""
    h, w = height // 2, width // 2
    boxes = []
    for top, left in ((0, 0), (0, w), (h, 0), (h, w)):
        y, x = (np.sort(rng.integers(0, length - 2, 2)) for length in (h - h // 3, w - w // 3))
        boxes.append([left + x[0], top + y[0], left + x[1] + w // 3, top + y[1] + h // 3])
    return np.array(boxes)


def coverage(view: NDArray[np.uint8], number: int) -> NDArray[np.float64]:
    """How much of each pixel the rectangle `number` covers, `(height, width)` from 0 to 1; its neighbors must be ground."""
    color = COLORS[number].astype(float)
    axis = color - GROUND
    share: NDArray[np.float64] = ((view.astype(float) - GROUND) @ axis) / (axis @ axis)
    off = np.abs(view.astype(float) - GROUND - share[..., None] * axis).max(axis=-1)
    return np.where(off < 40, share, 0.0)


def box_of(view: NDArray[np.uint8], number: int) -> NDArray[np.float64] | None:
    """The box of rectangle `number` in the view, to half a pixel; None if none of it is seen."""
    rows, columns = np.nonzero(coverage(view, number) > 0.5)
    if not len(rows):
        return None
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], dtype=float)


def smooth(height: int = 40, width: int = 60) -> NDArray[np.uint8]:
    """A picture without hard edges: different in each corner and channel."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    channels = [40 + 3 * y + x, 200 - 2 * x - y, 60 + 2 * x]
    picture: NDArray[np.uint8] = np.stack(channels, axis=-1).clip(0, 255).astype(np.uint8)
    return picture
