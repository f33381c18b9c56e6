"""Move pixels: the camera is tilted, or the image is deformed. Borders that become visible are mirrored."""

from __future__ import annotations

import math

import numpy as np

from raytl.data.images import Pixels
from raytl.data.view_pixels import sampled


def rotation(pixels: Pixels, degrees: float, rng: np.random.Generator) -> Pixels:
    """Rotate about the center by this angle, in either direction; the size stays."""
    size = pixels.shape[0], pixels.shape[1]
    half = size[0] / 2, size[1] / 2
    sign = 1 if rng.random() < 0.5 else -1
    return sampled(pixels, half, half, sign * math.radians(degrees), size)
