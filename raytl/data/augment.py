"""Augment training images: one number, `strength`, scales the whole family; parameters are drawn first, then applied.

torchvision v2's uint8 kernels do the work on channels-last memory, fused where possible: crop and resize; flips and
rotations; all color changes as a single 3 x 4 matrix. About half a millisecond an image at 224 px on one core.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from raytl.config.schema import AugmentConfig
from raytl.data.transforms import Preprocess, center_crop

Pixels = NDArray[np.uint8]
_GRAY = np.array([0.299, 0.587, 0.114], dtype=np.float64)
_AUGMENT_STREAM = 0x617567  # "aug": separates these draws from those of the epoch's order
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_TO_RGB = np.linalg.inv(_TO_YIQ)


@dataclass(frozen=True, slots=True)
class Color:
    """Factors of brightness, contrast and saturation (1 = unchanged), and a hue rotation in radians."""

    brightness: float
    contrast: float
    saturation: float
    hue: float


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels; fractions matter only if it is rotated."""

    top: float
    left: float
    height: float
    width: float


@dataclass(frozen=True, slots=True)
class Draw:
    """The drawn parameters for one image: crop `box` rotated by `angle`, resize, flip, rotate, color, blur, erase."""

    box: Box | None
    angle: float
    hflip: bool
    vflip: bool
    quarter_turns: int
    color: Color | None
    blur: float
    erase: Box | None


def sample_rng(seed: int, epoch: int, sample: int) -> np.random.Generator:
    """Return the random numbers of one sample in one epoch, the same on every worker; global state is not touched."""
    key = [(seed << 32) | epoch, (_AUGMENT_STREAM << 40) | sample]
    return np.random.Generator(np.random.Philox(key=np.array(key, dtype=np.uint64)))


class TrainAugment:
    """Turn a prepared image into a training view; a pure function of (image, random numbers).

    Amounts grow with s = strength and the random numbers stay the same, so a larger s strengthens the same change:

    ============  ======================================================  =========  ==========  ==========
    part          what is drawn                                           s = 0      s = 0.5     s = 1
    ============  ======================================================  =========  ==========  ==========
    crop          area, of the largest that fits; from 0.8 - 0.5 s to 1   0.8 .. 1   0.55 .. 1   0.3 .. 1
    (crop)        aspect ratio, up to 1 + s / 3 either way                1          1.17        1.33
    hflip, vflip  half of the images                                      1/2        1/2         1/2
    rotate90      a quarter turn, uniformly                               3/4        3/4         3/4
    rotation      of s / 2 of the images, up to 20 s degrees              none       10          20
    color         of 4/5 of the images: brightness, contrast, saturation
                  times or divided by up to 1 + 0.6 s                     none       1.3         1.6
    (color)       hue, up to 18 s degrees                                 none       9           18
    (color)       gray instead, of s / 10 of the images                   none       1/20        1/10
    blur          of s / 2 of the images, sigma up to 2 s px per 224 px   none       1           2
    erasing       of `erasing` of the images, 2 to 20 % of the area       (its own probability)
    ============  ======================================================  =========  ==========  ==========

    A rotated crop is shrunk until it lies inside the photo, so no corner is empty. With `crop` off, the view is the
    evaluation crop, and a rotation fills uncovered corners by reflection. Mixup and CutMix act on batches (`data.mix`).
    """

    def __init__(self, config: AugmentConfig, preprocess: Preprocess) -> None:
        self._config = config
        self.image_px = preprocess.image_px
        exact = preprocess.interpolation in ("nearest", "bilinear", "bicubic")  # torchvision has no lanczos for tensors
        self._interpolation = InterpolationMode(preprocess.interpolation if exact else "bicubic")
        self._fill = np.array([round(255 * m) for m in preprocess.mean], dtype=np.uint8)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the views, in pixels."""
        return self.image_px, self.image_px

    def __call__(self, prepared: Pixels, rng: np.random.Generator) -> torch.Tensor:
        """Return the view of a `(height, width, 3)` image: `(3, image_px, image_px) uint8` in channels-last memory."""
        return torch.from_numpy(self.view(prepared, rng)).permute(2, 0, 1)

    def view(self, prepared: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the same view as `(image_px, image_px, 3)`."""
        height, width = prepared.shape[:2]
        return self.apply(prepared, self.draw(height, width, rng))

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Draw:
        """Draw the parameters for an image of this size. Every part has its own random numbers, even if it is off."""
        u, c, s = rng.random(24).tolist(), self._config, self._config.strength
        box = _drawn_crop(height, width, s, u[0:4]) if c.crop else None
        rotated = c.rotation and u[7] < s / 2
        return Draw(
            box=box,
            angle=math.radians(20 * s) * _signed(u[8]) if rotated else 0.0,
            hflip=c.hflip and u[4] < 0.5,
            vflip=c.vflip and u[5] < 0.5,
            quarter_turns=int(4 * u[6]) if c.rotate90 else 0,
            color=_drawn_color(s, u[9:15]) if c.color and s > 0 else None,
            blur=(0.1 + 0.9 * u[16]) * 2 * s * self.image_px / 224 if c.blur and u[15] < s / 2 else 0.0,
            erase=_drawn_patch(self.image_px, u[18:22]) if u[17] < c.erasing else None,
        )

    def apply(self, prepared: Pixels, draw: Draw) -> Pixels:
        """Apply the draw: `(height, width, 3)` to a new `(image_px, image_px, 3)`."""
        view = self._flipped(self._crop(prepared, draw), draw)
        if draw.color is not None:
            view = recolored(view, draw.color)
        if draw.blur > 0:
            view = _blurred(view, draw.blur)
        if draw.erase is not None:
            view = np.ascontiguousarray(view)
            view[_slices(draw.erase)] = self._fill
        return view

    def _crop(self, prepared: Pixels, draw: Draw) -> Pixels:
        if draw.angle:
            return _rotated(
                prepared, draw.box or _center(prepared, self.image_px), draw.angle, self.image_px, draw.box is not None
            )
        if draw.box is None:
            return center_crop(prepared, self.image_px)
        # copied: the fast kernel needs contiguous memory, and mapped memory cannot become a tensor
        crop = torch.from_numpy(prepared[_slices(draw.box)].copy()).permute(2, 0, 1)
        size = [self.image_px, self.image_px]
        resized: torch.Tensor = tv.resize_image(crop, size, interpolation=self._interpolation, antialias=True)
        return _pixels(resized)

    @staticmethod
    def _flipped(view: Pixels, draw: Draw) -> Pixels:
        axes = [axis for axis, flip in ((0, draw.vflip), (1, draw.hflip)) if flip]
        tensor = torch.from_numpy(view)
        if axes:
            tensor = tensor.flip(axes)
        if draw.quarter_turns:
            tensor = tensor.rot90(draw.quarter_turns)
        return _pixels(tensor.permute(2, 0, 1))


def _signed(u: float) -> float:
    """Map [0, 1) to [-1, 1)."""
    return 2 * u - 1


def _slices(box: Box) -> tuple[slice, slice]:
    top, left = int(box.top), int(box.left)
    return slice(top, top + int(box.height)), slice(left, left + int(box.width))


def _center(prepared: Pixels, side: int) -> Box:
    """Return the evaluation crop as a box, which may extend beyond the image."""
    height, width = prepared.shape[:2]
    return Box((height - side) / 2, (width - side) / 2, side, side)


def _drawn_crop(height: int, width: int, strength: float, u: list[float]) -> Box:
    """Return a crop by area and aspect as in Inception, but relative to the largest that fits, so none is rejected."""
    aspect = (1 + strength / 3) ** _signed(u[1])
    least = 0.8 - 0.5 * strength
    scale = math.sqrt(least + (1 - least) * u[0])
    tall = min(height, width / aspect)
    h, w = max(1, round(tall * scale)), max(1, min(width, round(tall * aspect * scale)))
    return Box(int(u[2] * (height - h + 1)), int(u[3] * (width - w + 1)), h, w)


def _drawn_color(strength: float, u: list[float]) -> Color | None:
    if u[0] >= 0.8:
        return None
    brightness, contrast, saturation = ((1 + 0.6 * strength) ** _signed(x) for x in u[1:4])
    gray = u[5] < strength / 10
    return Color(brightness, contrast, 0.0 if gray else saturation, math.radians(18 * strength) * _signed(u[4]))


def _drawn_patch(side: int, u: list[float]) -> Box:
    """Return a rectangle of 2 to 20 % of the view (Zhong et al. 2020)."""
    area, aspect = side * side * (0.02 + 0.18 * u[0]), 3.0 ** _signed(u[1])
    h, w = (max(1, round(math.sqrt(area * a))) for a in (aspect, 1 / aspect))
    return Box(int(u[2] * (side - h + 1)), int(u[3] * (side - w + 1)), h, w)


def color_matrix(color: Color, mean_gray: float) -> tuple[NDArray[np.float32], np.float32]:
    """Return (A, b) of `rgb @ A + b`, b the same for all channels: torchvision's brightness, contrast and saturation in turn, then the hue as a rotation in YIQ."""
    saturate = color.saturation * np.eye(3) + (1 - color.saturation) * np.outer(np.ones(3), _GRAY)
    cos, sin = math.cos(color.hue), math.sin(color.hue)
    turn = _TO_RGB @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ _TO_YIQ
    matrix = color.brightness * color.contrast * (turn @ saturate)
    offset = (1 - color.contrast) * color.brightness * mean_gray
    return np.ascontiguousarray(matrix.T, dtype=np.float32), np.float32(offset)


def recolored(view: Pixels, color: Color) -> Pixels:
    """Return the `(side, side, 3)` view with its colors changed."""
    mean_gray = float(view[::8, ::8].mean(axis=(0, 1)) @ _GRAY)
    matrix, offset = color_matrix(color, mean_gray)
    # a batch of small products, one per row: BLAS would split a large one over threads
    values = view.astype(np.float32) @ matrix
    values += offset + np.float32(0.5)  # rounds to nearest, as the cast truncates
    np.clip(values, 0.0, 255.0, out=values)
    return values.astype(np.uint8)


def _blurred(view: Pixels, sigma: float) -> Pixels:
    """Return the view blurred by a Gaussian, one axis after the other; torchvision blurs both at once and takes three times as long."""
    radius = max(1, round(2 * sigma))
    taps = np.exp(-(np.arange(-radius, radius + 1, dtype=np.float32) ** 2) / (2 * sigma * sigma))
    taps /= taps.sum()
    side = len(view)
    values = np.pad(view.astype(np.float32), [(radius, radius), (radius, radius), (0, 0)], mode="reflect")
    values = _weighted_sum([values[k : k + side] for k in range(len(taps))], taps)
    values = _weighted_sum([values[:, k : k + side] for k in range(len(taps))], taps)
    return (values + np.float32(0.5)).astype(np.uint8)


def _weighted_sum(parts: list[NDArray[np.float32]], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    total: NDArray[np.float32] = parts[0] * weights[0]
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        total += part * weight
    return total


def _rotated(prepared: Pixels, box: Box, angle: float, side: int, inside: bool) -> Pixels:
    """Return the box rotated about its center and resized to `side`; with `inside`, shrunk and moved to lie in the image."""
    height, width = prepared.shape[:2]
    cos, sin = math.cos(angle), abs(math.sin(angle))
    half_y, half_x = (box.height * cos + box.width * sin) / 2, (box.width * cos + box.height * sin) / 2
    y, x = box.top + box.height / 2, box.left + box.width / 2
    shrink = min(1.0, height / (2 * half_y), width / (2 * half_x)) if inside else 1.0
    if inside:
        y = min(max(y, half_y * shrink), height - half_y * shrink)
        x = min(max(x, half_x * shrink), width - half_x * shrink)
    half_h, half_w = box.height * shrink / 2, box.width * shrink / 2
    return _sampled(prepared, (y, x), (half_h, half_w), angle, side)


def _sampled(
    prepared: Pixels, center: tuple[float, float], half: tuple[float, float], angle: float, side: int
) -> Pixels:
    """Return bilinear samples of a rotated rectangle, reflected where it leaves the image."""
    height, width = prepared.shape[:2]
    cos, sin = math.cos(angle), math.sin(angle)
    (y, x), (half_h, half_w) = center, half
    steps = (np.arange(side, dtype=np.float32) * 2 + 1) / side - 1  # the view's coordinates, [-1, 1]
    across, down = steps[None, :], steps[:, None]
    grid = np.empty((1, side, side, 2), dtype=np.float32)  # the same as affine_grid, in a tenth of the time
    grid[0, :, :, 0] = (across * (half_w * cos) - down * (half_h * sin) + x) * (2 / width) - 1
    grid[0, :, :, 1] = (across * (half_w * sin) + down * (half_h * cos) + y) * (2 / height) - 1
    source = torch.from_numpy(prepared.astype(np.float32))[None].permute(0, 3, 1, 2)
    tensor = torch.from_numpy(grid)
    return _bytes(nn.grid_sample(source, tensor, mode="bilinear", padding_mode="reflection", align_corners=False)[0])


def _bytes(values: torch.Tensor) -> Pixels:
    """Round `(3, h, w)` float values in [0, 255] to bytes, `(h, w, 3)`."""
    return _pixels(torch.from_numpy((values.numpy() + np.float32(0.5)).astype(np.uint8)))


def _pixels(tensor: torch.Tensor) -> Pixels:
    """Return `(3, h, w)` as an `(h, w, 3)` array, without a copy if the memory is channels-last."""
    array: Pixels = tensor.permute(1, 2, 0).contiguous().numpy()
    return array
