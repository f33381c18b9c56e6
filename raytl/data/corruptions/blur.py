"""Blur in linear light, where highlights spread as they do on a sensor. Edges are mirrored; lengths follow the shorter side."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raytl.data.corruptions.transfer import encoded, linear
from raytl.data.images import Pixels

_FINE = 8
"""Samples per pixel along each axis, with which kernels are drawn."""
_ZOOMS = 12
_SMALLEST_PX = 0.25
"""A smaller disc may hold no sample; it lies within its pixel anyway."""
Kernel = NDArray[np.float32]


def defocus(pixels: Pixels, radius: float, rng: np.random.Generator) -> Pixels:
    """Blur with a disc, the image of a point out of focus; `radius` is a fraction of the shorter side."""
    return convolved(pixels, disc(round(radius * min(pixels.shape[:2]), 3)))


def motion(pixels: Pixels, length: float, rng: np.random.Generator) -> Pixels:
    """Blur along a line of any direction at constant speed; `length` is a fraction of the shorter side."""
    return convolved(pixels, line(length * min(pixels.shape[:2]), float(np.pi * rng.random())))


def zoom(pixels: Pixels, factor: float, rng: np.random.Generator) -> Pixels:
    """Average over zooms from 1 to 1 + `factor` about the center, while the shutter is open."""
    height, width, _ = pixels.shape
    total = np.zeros(pixels.shape, dtype=np.float32)
    scales = 1 + factor * np.linspace(0, 1, _ZOOMS)
    for scale in scales:
        x, y = width * (1 - 1 / scale) / 2, height * (1 - 1 / scale) / 2
        box = (x, y, width - x, height - y)
        total += linear(np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR, box)))
    return encoded(total / np.float32(_ZOOMS))


def glass(pixels: Pixels, distance: float, rng: np.random.Generator) -> Pixels:
    """Take each pixel from a place about this fraction of the shorter side away (normal), and blur a little: frosted glass."""
    height, width, _ = pixels.shape
    offsets = rng.standard_normal((2, height, width), dtype=np.float32) * (distance * min(height, width))
    offsets = np.rint(offsets).astype(np.int64)
    rows = np.clip(np.arange(height)[:, None] + offsets[0], 0, height - 1)
    columns = np.clip(np.arange(width) + offsets[1], 0, width - 1)
    return convolved(pixels[rows, columns], disc(0.8))


def convolved(pixels: Pixels, kernel: Kernel) -> Pixels:
    """Return the pixels convolved in linear light with an odd, square kernel that sums to 1."""
    from scipy.fft import irfft2, next_fast_len, rfft2

    radius, (height, width) = len(kernel) // 2, pixels.shape[:2]
    padded = np.pad(pixels, [(radius, radius), (radius, radius), (0, 0)], mode="symmetric")
    light = linear(np.ascontiguousarray(padded.transpose(2, 0, 1)))
    size = [next_fast_len(length, real=True) for length in light.shape[1:]]
    spectrum = rfft2(light, size)
    spectrum *= rfft2(kernel, size)
    blurred = irfft2(spectrum, size)[:, 2 * radius :, 2 * radius :][:, :height, :width]
    return np.ascontiguousarray(encoded(blurred).transpose(1, 2, 0))


@lru_cache(16)
def disc(radius: float) -> Kernel:
    """Return the fraction of each pixel that lies in a disc of `radius` pixels, scaled to the sum 1."""
    radius = max(radius, _SMALLEST_PX)
    reach_px = int(np.ceil(radius))
    fine = (np.arange((2 * reach_px + 1) * _FINE) + 0.5) / _FINE - reach_px - 0.5
    inside = np.hypot(fine[:, None], fine) <= radius
    side = 2 * reach_px + 1
    return _normalized(inside.reshape(side, _FINE, side, _FINE).sum(axis=(1, 3)))


def line(length: float, angle: float) -> Kernel:
    """Return a line of `length` pixels through the center at `angle` radians, scaled to the sum 1."""
    reach_px = int(np.ceil(length / 2)) + 1
    steps = (np.arange(max(1, round(length * _FINE))) + 0.5) / _FINE - length / 2
    kernel = np.zeros((2 * reach_px + 1, 2 * reach_px + 1))
    y, x = reach_px + steps * np.sin(angle), reach_px + steps * np.cos(angle)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):  # each step is divided over its four pixels
        top, left = np.floor(y).astype(int), np.floor(x).astype(int)
        weight = np.abs(1 - row - (y - top)) * np.abs(1 - column - (x - left))
        np.add.at(kernel, (top + row, left + column), weight)
    return _normalized(kernel)


def _normalized(kernel: NDArray[np.floating] | NDArray[np.integer]) -> Kernel:
    weights: Kernel = (kernel / kernel.sum()).astype(np.float32)
    return weights
