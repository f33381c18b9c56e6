"""A small photo with edges, colors, dark and light parts, for the tests of corruptions."""

from __future__ import annotations

import numpy as np

from raytl.data.images import Pixels


def scene(height: int = 72, width: int = 96) -> Pixels:
    """Return a color gradient with a dark and a light square and stripes, `(height, width, 3)`."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([40 + 2 * x, 60 + 2 * y, 200 - x - y], axis=-1).clip(0, 255).astype(np.uint8)
    pixels[8:20, 8:20] = 15
    pixels[8:20, 30:44] = 240
    pixels[30:40, ::4] = (200, 40, 40)
    return pixels


def gray_scene(height: int = 72, width: int = 96) -> Pixels:
    """Return the same scene without color."""
    return np.repeat(scene(height, width)[..., :1], 3, axis=-1)


def difference(a: Pixels, b: Pixels) -> float:
    """Return the mean absolute difference in levels."""
    return float(np.abs(a.astype(float) - b).mean())
