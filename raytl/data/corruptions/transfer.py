"""Convert between 8-bit sRGB and linear light, in which exposures, blurs and noise of a sensor add up (IEC 61966-2-1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raytl.data.images import Pixels

Light = NDArray[np.float32]
"""Linear light, 0 to 1 (full scale)."""
_STEPS = 65535
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
"""The weights of red, green and blue in linear light (Rec. 709)."""


def _decoded() -> Light:
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _codes() -> Pixels:
    light = np.arange(_STEPS + 1) / _STEPS
    value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    codes: Pixels = np.rint(255 * value).astype(np.uint8)
    return codes


LEVELS = _decoded()
"""The linear light of each 8-bit level, `(256,)`."""
_CODES = _codes()


def linear(pixels: Pixels) -> Light:
    """Return the linear light of 8-bit sRGB levels, of the same shape."""
    return LEVELS[pixels]


def encoded(light: Light) -> Pixels:
    """Return linear light, clipped to full scale, as 8-bit sRGB levels; the inverse of `linear`."""
    steps = np.clip(light, 0, 1)
    steps *= _STEPS
    steps += 0.5
    return np.take(_CODES, steps.astype(np.uint16))


def looked_up(pixels: Pixels, tables: Pixels) -> Pixels:
    """Return the levels of `(h, w, 3)` pixels replaced by `tables`: `(256,)`, or `(256, 3)` with one for each channel."""
    if tables.ndim == 1:
        return np.take(tables, pixels)
    return np.stack([np.take(tables[:, k], pixels[..., k]) for k in range(3)], axis=-1)
