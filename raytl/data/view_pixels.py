"""Compute the pixels of an augmented view: rotated samples, flips, color, blur and erasing, on channels-last memory.

torchvision v2's uint8 kernels do the work where they are fast; all color changes of RGB are a single 3 x 4 matrix, and those of
other channels one gain and an offset for each.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from raytl.data.bit_depth import RGB
from raytl.data.draw import Box, Color, Draw
from raytl.data.images import Pixels
from raytl.data.placement import Placement, flips, quarter_turns
from raytl.data.transforms import Preprocess

_GRAY = np.array([0.299, 0.587, 0.114], dtype=np.float64)
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_TO_RGB = np.linalg.inv(_TO_YIQ)


def interpolation_of(preprocess: Preprocess) -> InterpolationMode:
    """Return the interpolation of the resize for tensors, which lack lanczos."""
    exact = preprocess.interpolation in ("nearest", "bilinear", "bicubic")
    return InterpolationMode(preprocess.interpolation if exact else "bicubic")


def resized(pixels: Pixels, size: tuple[int, int], interpolation: InterpolationMode) -> Pixels:
    """Return `(h, w, channels)` pixels resized to `size` with antialiasing."""
    # copied: the fast kernel needs contiguous memory, and mapped memory cannot become a tensor
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    view: torch.Tensor = tv.resize_image(tensor, list(size), interpolation=interpolation, antialias=True)
    return packed(view)


def flipped(view: Pixels, draw: Draw) -> Pixels:
    """Return the view with the flips and quarter turns of the draw."""
    axes = [axis for axis, flip in ((0, draw.vflip), (1, draw.hflip)) if flip]
    tensor = torch.from_numpy(view)
    if axes:
        tensor = tensor.flip(axes)
    if draw.quarter_turns:
        tensor = tensor.rot90(draw.quarter_turns)
    return packed(tensor.permute(2, 0, 1))


def flips_of(draw: Draw, size: tuple[int, int]) -> Placement:
    """Return the map of `flipped` for a view of this (height, width) before its quarter turns."""
    both = flips(size, horizontal=draw.hflip, vertical=draw.vflip)
    return both.then(quarter_turns(size, draw.quarter_turns))


def finished(view: Pixels, draw: Draw, fill: NDArray[np.uint8]) -> Pixels:
    """Return the view with its color changed, blurred, and a patch of it erased with the color `fill`."""
    if draw.color is not None:
        view = recolored(view, draw.color)
    if draw.blur > 0:
        view = blurred(view, draw.blur)
    if draw.erase is not None:
        view = np.ascontiguousarray(view)
        view[slices(draw.erase)] = fill
    return view


def slices(box: Box) -> tuple[slice, slice]:
    """Return the rows and columns of a box of whole pixels."""
    top, left = int(box.top), int(box.left)
    return slice(top, top + int(box.height)), slice(left, left + int(box.width))


def color_matrix(color: Color, mean_gray: float) -> tuple[NDArray[np.float32], np.float32]:
    """Return (A, b) of `rgb @ A + b`, b the same for all channels: torchvision's brightness, contrast and saturation in turn, then the hue as a rotation in YIQ."""
    saturate = color.saturation * np.eye(3) + (1 - color.saturation) * np.outer(np.ones(3), _GRAY)
    cos, sin = math.cos(color.hue), math.sin(color.hue)
    turn = _TO_RGB @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ _TO_YIQ
    matrix = color.brightness * color.contrast * (turn @ saturate)
    offset = (1 - color.contrast) * color.brightness * mean_gray
    return np.ascontiguousarray(matrix.T, dtype=np.float32), np.float32(offset)


def recolored(view: Pixels, color: Color) -> Pixels:
    """Return the `(height, width, channels)` view with its colors changed; of other than RGB, brightness and contrast alone."""
    if view.shape[2] != RGB:
        return _regained(view, color)
    mean_gray = float(view[::8, ::8].mean(axis=(0, 1)) @ _GRAY)
    matrix, offset = color_matrix(color, mean_gray)
    # a batch of small products, one per row: BLAS would split a large one over threads
    values = view.astype(np.float32) @ matrix
    values += offset + np.float32(0.5)  # rounds to nearest, as the cast truncates
    np.clip(values, 0.0, 255.0, out=values)
    return values.astype(np.uint8)


def _regained(view: Pixels, color: Color) -> Pixels:
    """Return the view with the brightness and contrast of every channel changed alike, contrast around its own mean."""
    means = view[::8, ::8].mean(axis=(0, 1), dtype=np.float64)
    gain = color.brightness * color.contrast
    offset = (1 - color.contrast) * color.brightness * means
    values = view.astype(np.float32) * np.float32(gain)
    values += (offset + 0.5).astype(np.float32)  # rounds to nearest, as the cast truncates
    np.clip(values, 0.0, 255.0, out=values)
    return values.astype(np.uint8)


def blurred(view: Pixels, sigma: float) -> Pixels:
    """Return the view blurred by a Gaussian, one axis after the other; torchvision blurs both at once and takes three times as long."""
    radius = max(1, round(2 * sigma))
    taps = np.exp(-(np.arange(-radius, radius + 1, dtype=np.float32) ** 2) / (2 * sigma * sigma))
    taps /= taps.sum()
    height, width = view.shape[:2]
    values = np.pad(view.astype(np.float32), [(radius, radius), (radius, radius), (0, 0)], mode="reflect")
    values = _weighted_sum([values[k : k + height] for k in range(len(taps))], taps)
    values = _weighted_sum([values[:, k : k + width] for k in range(len(taps))], taps)
    return (values + np.float32(0.5)).astype(np.uint8)


def _weighted_sum(parts: list[NDArray[np.float32]], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    total: NDArray[np.float32] = parts[0] * weights[0]
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        total += part * weight
    return total


def sampled(
    prepared: Pixels,
    center: tuple[float, float],
    half: tuple[float, float],
    angle: float,
    size: tuple[int, int],
    fill: NDArray[np.uint8] | None = None,
) -> Pixels:
    """Return bilinear samples, of `size` (height, width), of a rotated rectangle: the pixels of `placement.window`.

    Where it leaves the image, the image is reflected, or `fill` is shown.
    """
    height, width = prepared.shape[:2]
    cos, sin = math.cos(angle), math.sin(angle)
    (y, x), (half_h, half_w) = center, half
    across, down = _steps(size[1])[None, :], _steps(size[0])[:, None]
    grid = np.empty((1, *size, 2), dtype=np.float32)  # the same as affine_grid, in a tenth of the time
    grid[0, :, :, 0] = (across * (half_w * cos) - down * (half_h * sin) + x) * (2 / width) - 1
    grid[0, :, :, 1] = (across * (half_w * sin) + down * (half_h * cos) + y) * (2 / height) - 1
    pixels = torch.from_numpy(prepared.astype(np.float32))
    color = None if fill is None else torch.from_numpy(fill.astype(np.float32))
    if color is not None:
        pixels -= color  # the kernel pads with zeros
    source, tensor = pixels[None].permute(0, 3, 1, 2), torch.from_numpy(grid)
    padding = "reflection" if fill is None else "zeros"
    sample = nn.grid_sample(source, tensor, mode="bilinear", padding_mode=padding, align_corners=False)[0]
    return _bytes(sample if color is None else sample + color[:, None, None])


def _steps(count: int) -> NDArray[np.float32]:
    """Return the centers of this many pixels from -1 to 1."""
    steps = (np.arange(count, dtype=np.float32) * 2 + 1) / count - 1
    return steps.astype(np.float32, copy=False)


def _bytes(values: torch.Tensor) -> Pixels:
    """Round `(channels, h, w)` float values in [0, 255] to bytes, `(h, w, channels)`."""
    return packed(torch.from_numpy((values.numpy() + np.float32(0.5)).astype(np.uint8)))


def packed(tensor: torch.Tensor) -> Pixels:
    """Return `(channels, h, w)` as an `(h, w, channels)` array, without a copy if the memory is channels-last."""
    array: Pixels = tensor.permute(1, 2, 0).contiguous().numpy()
    return array
