"""Damage an image after the sensor (JPEG, low resolution) or before it (dirt on the lens)."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from raytl.data.corruptions.transfer import LUMINANCE, Light, encoded, linear
from raytl.data.images import Pixels

_SPOTS = 32
"""The number of spots that are drawn for an image, of which the severity takes the first."""


def jpeg(pixels: Pixels, quality: float, rng: np.random.Generator) -> Pixels:
    """Compress at this quality of libjpeg, with its half resolution of colors."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=int(quality))
    return np.array(Image.open(file))


def low_resolution(pixels: Pixels, factor: float, rng: np.random.Generator) -> Pixels:
    """Average over blocks of `factor` pixels and enlarge smoothly again: a small sensor, or an object far away."""
    return _reduced(pixels, factor, Image.Resampling.BICUBIC)


def pixelate(pixels: Pixels, factor: float, rng: np.random.Generator) -> Pixels:
    """Average over blocks of `factor` pixels, and show the blocks."""
    return _reduced(pixels, factor, Image.Resampling.NEAREST)


def _reduced(pixels: Pixels, factor: float, enlarge: Image.Resampling) -> Pixels:
    height, width = pixels.shape[:2]
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    image = Image.fromarray(pixels).resize(small, Image.Resampling.BOX)
    return np.array(image.resize((width, height), enlarge))


def dirt(pixels: Pixels, spots: float, rng: np.random.Generator) -> Pixels:
    """Put this many soft gray spots on the lens: they absorb light, and scatter some of the image's mean light."""
    height, width, _ = pixels.shape
    light = linear(pixels)
    clear = transmission(height, width, int(spots), rng)[..., None]
    veil = np.float32(0.2) * (light.mean(axis=(0, 1)) @ LUMINANCE)
    light -= veil
    light *= clear
    light += veil
    return encoded(light)


def transmission(height: int, width: int, spots: int, rng: np.random.Generator) -> Light:
    """Return the fraction of light that passes the first `spots` spots, `(h, w)`.

    Radii are 2 to 9 % of the shorter side, small ones more often; the middle of a spot absorbs 60 to 95 %.
    """
    clear = np.ones((height, width), dtype=np.float32)
    for u in rng.random((_SPOTS, 4))[:spots]:
        radius = min(height, width) * (0.02 + 0.07 * u[2] ** 2)
        _stain(clear, u[0] * height, u[1] * width, radius, 0.6 + 0.35 * u[3])
    return clear


def _stain(clear: Light, y: float, x: float, radius: float, opacity: float) -> None:
    """Darken a disc whose edge is soft, from 0.6 to 1.4 of its radius."""
    outer = 1.4 * radius
    top, left = max(0, int(y - outer)), max(0, int(x - outer))
    part = clear[top : int(y + outer) + 2, left : int(x + outer) + 2]
    rows, columns = np.arange(part.shape[0]) + top - y + 0.5, np.arange(part.shape[1]) + left - x + 0.5
    edge = np.clip((outer - np.hypot(rows[:, None], columns)) / (0.8 * radius), 0, 1)
    part *= 1 - opacity * edge * edge * (3 - 2 * edge)
