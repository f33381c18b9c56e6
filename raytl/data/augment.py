"""Augment training images: one number, `strength`, scales the whole family; parameters are drawn first, then applied.

About half a millisecond an image at 224 px on one core.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from raytl.config.schema import AugmentConfig
from raytl.data.draw import Box, Draw, drawn, numbers, sample_rng, signed
from raytl.data.images import Pixels
from raytl.data.placement import Placement, scaling, shift, window
from raytl.data.transforms import Preprocess, center_crop, center_placement
from raytl.data.view_pixels import finished, flipped, flips_of, interpolation_of, resized, sampled, slices

__all__ = ["Draw", "TrainAugment", "sample_rng"]


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
    evaluation crop, and a rotation fills uncovered corners by reflection. Mixup and CutMix act on batches (`data.mix`). Images of
    other than three channels have neither saturation nor hue: their brightness and contrast change, all channels alike.
    """

    def __init__(self, config: AugmentConfig, preprocess: Preprocess) -> None:
        self._config = config
        self.image_px = preprocess.image_px
        self._interpolation = interpolation_of(preprocess)
        self._fill = preprocess.mean_color

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the views."""
        return self.image_px, self.image_px

    def __call__(self, prepared: Pixels, rng: np.random.Generator) -> torch.Tensor:
        """Return the view of a `(height, width, channels)` image: `(channels, image_px, image_px) uint8` in channels-last memory."""
        return torch.from_numpy(self.view(prepared, rng)).permute(2, 0, 1)

    def view(self, prepared: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the same view as `(image_px, image_px, channels)`."""
        height, width = prepared.shape[:2]
        return self.apply(prepared, self.draw(height, width, rng))

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Draw:
        """Draw the parameters for an image of this size. Every part has its own random numbers, even if it is off."""
        u, c = numbers(rng), self._config
        return drawn(c, u, _drawn_crop(height, width, c.strength, u[0:4]) if c.crop else None, self.size)

    def apply(self, prepared: Pixels, draw: Draw) -> Pixels:
        """Apply the draw: `(height, width, channels)` to a new `(image_px, image_px, channels)`."""
        return finished(flipped(self._crop(prepared, draw), draw), draw, self._fill)

    def placement(self, draw: Draw, height: int, width: int) -> Placement:
        """Return the map from a prepared image of this size to its view under the draw."""
        return self._crop_placement(draw, height, width).then(flips_of(draw, self.size))

    def _crop(self, prepared: Pixels, draw: Draw) -> Pixels:
        if draw.angle:
            center, half = self._rotated(draw, *prepared.shape[:2])
            return sampled(prepared, center, half, draw.angle, self.size)
        if draw.box is None:
            return center_crop(prepared, self.image_px)
        return resized(prepared[slices(draw.box)], self.size, self._interpolation)

    def _crop_placement(self, draw: Draw, height: int, width: int) -> Placement:
        if draw.angle:
            return window(*self._rotated(draw, height, width), draw.angle, self.size)
        if draw.box is None:
            return center_placement((height, width), self.image_px)
        crop = (int(draw.box.height), int(draw.box.width))
        return shift(-int(draw.box.left), -int(draw.box.top), crop).then(scaling(crop, self.size))

    def _rotated(self, draw: Draw, height: int, width: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the center and half size of the rotated crop; one that was drawn is shrunk and moved to lie in the image."""
        side = self.image_px
        if draw.box is None:  # the evaluation crop, which may extend beyond the image
            return _centered(Box((height - side) / 2, (width - side) / 2, side, side))
        return _contained(draw.box, draw.angle, height, width)


def _drawn_crop(height: int, width: int, strength: float, u: list[float]) -> Box:
    """Return a crop by area and aspect as in Inception, but relative to the largest that fits, so none is rejected."""
    aspect = (1 + strength / 3) ** signed(u[1])
    least = 0.8 - 0.5 * strength
    scale = math.sqrt(least + (1 - least) * u[0])
    tall = min(height, width / aspect)
    h, w = max(1, round(tall * scale)), max(1, min(width, round(tall * aspect * scale)))
    return Box(int(u[2] * (height - h + 1)), int(u[3] * (width - w + 1)), h, w)


def _centered(box: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    return (box.top + box.height / 2, box.left + box.width / 2), (box.height / 2, box.width / 2)


def _contained(box: Box, angle: float, height: int, width: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the center and half size of the rotated box, shrunk and moved to lie in the image."""
    cos, sin = math.cos(angle), abs(math.sin(angle))
    half_y, half_x = (box.height * cos + box.width * sin) / 2, (box.width * cos + box.height * sin) / 2
    (y, x), _ = _centered(box)
    shrink = min(1.0, height / (2 * half_y), width / (2 * half_x))
    y = min(max(y, half_y * shrink), height - half_y * shrink)
    x = min(max(x, half_x * shrink), width - half_x * shrink)
    return (y, x), (box.height * shrink / 2, box.width * shrink / 2)
