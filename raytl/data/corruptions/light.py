"""Change exposure, contrast and color of the light: one table of levels for an image, or for a channel."""

from __future__ import annotations

import numpy as np

from raytl.data.corruptions.transfer import LEVELS, LUMINANCE, Light, encoded, linear, looked_up
from raytl.data.images import Pixels

_GRAY = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def exposure(pixels: Pixels, stops: float, rng: np.random.Generator) -> Pixels:
    """Expose this many stops more (negative: less) in linear light; what exceeds full scale is white."""
    return looked_up(pixels, encoded(LEVELS * np.float32(2.0**stops)))


def contrast(pixels: Pixels, factor: float, rng: np.random.Generator) -> Pixels:
    """Scale the difference of each value from the mean of its channel, in sRGB levels, as ImageNet-C does."""
    mean = pixels.mean(axis=(0, 1))
    levels = mean + factor * (np.arange(256)[:, None] - mean)
    return looked_up(pixels, np.clip(np.rint(levels), 0, 255).astype(np.uint8))


def color_cast(pixels: Pixels, stops: float, rng: np.random.Generator) -> Pixels:
    """Shift red and blue apart by this many stops, to warm or cold light: a wrong white balance. A gray keeps its luminance."""
    sign = 1 if rng.random() < 0.5 else -1
    gains = 2.0 ** (sign * stops * np.array([0.5, 0.0, -0.5]))
    gains /= gains @ LUMINANCE
    return looked_up(pixels, encoded((LEVELS[:, None] * gains).astype(np.float32)))


def saturation(pixels: Pixels, factor: float, rng: np.random.Generator) -> Pixels:
    """Scale the difference of each color from its gray, in sRGB levels."""
    gray = (pixels @ _GRAY)[..., None]
    return np.clip(gray + np.float32(factor) * (pixels - gray) + np.float32(0.5), 0, 255).astype(np.uint8)


def vignette(pixels: Pixels, stops: float, rng: np.random.Generator) -> Pixels:
    """Darken toward the corners, which lose this many stops, as the cosine to the power of 4 of the angle of light."""
    height, width, _ = pixels.shape
    light = linear(pixels)
    light *= falloff(height, width, stops)[..., None]
    return encoded(light)


def falloff(height: int, width: int, stops: float) -> Light:
    """Return the fraction of the light at each pixel, `(h, w)`: 1 in the center, 2 ** -stops in the corners.

    The cosine of the angle at a distance r from the axis is 1 / sqrt(1 + (r / f)²).
    """
    y, x = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
    distance = (y[:, None] ** 2 * height**2 + x**2 * width**2) / (height**2 + width**2)
    return ((1 + distance * (2 ** (stops / 2) - 1)) ** -2).astype(np.float32)
