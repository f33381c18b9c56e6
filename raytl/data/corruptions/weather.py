"""Put fog or snow between the camera and the scene, drawn from random fields, without photos of others."""

from __future__ import annotations

import numpy as np
from PIL import Image

from raytl.data.corruptions.blur import convolved, line
from raytl.data.corruptions.transfer import Light, encoded, linear
from raytl.data.images import Pixels


def fog(pixels: Pixels, density: float, rng: np.random.Generator) -> Pixels:
    """Blend with white by up to `density`, in clouds of plasma (a sum of noise, each octave half as strong)."""
    height, width, _ = pixels.shape
    veil = np.float32(density) * (np.float32(0.4) + np.float32(0.6) * plasma(height, width, rng))[..., None]
    light = linear(pixels)
    return encoded(light * (1 - veil) + np.float32(0.8) * veil)


def plasma(height: int, width: int, rng: np.random.Generator) -> Light:
    """Return clouds from 0 to 1, `(h, w)`."""
    clouds = np.zeros((height, width), dtype=np.float32)
    for octave in range(2, 7):
        cells = rng.random((2**octave, 2**octave), dtype=np.float32)
        layer = Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)
        clouds += np.asarray(layer) * np.float32(0.5**octave)
    clouds -= clouds.min()
    return clouds / max(float(clouds.max()), 1e-6)


def snow(pixels: Pixels, fraction: float, rng: np.random.Generator) -> Pixels:
    """Let flakes fall in one direction over this fraction of the image, each blurred by its motion."""
    height, width, _ = pixels.shape
    angle = np.pi * (0.35 + 0.3 * rng.random())
    cells = rng.random((max(1, height // 2), max(1, width // 2)), dtype=np.float32)
    flakes = np.where(cells < fraction / 4, 255, 0).astype(np.uint8)
    layer = np.asarray(Image.fromarray(flakes).resize((width, height), Image.Resampling.BILINEAR))
    streaks = convolved(np.repeat(layer[..., None], 3, axis=-1), line(0.04 * min(height, width), angle))
    white = np.minimum(1, 3 * linear(streaks))
    return encoded(linear(pixels) * (1 - white) + white)
