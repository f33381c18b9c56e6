"""Augment images of scenes, whose objects or pixels are the target: scale jitter on a fixed canvas, padded where it is empty."""

from __future__ import annotations

import numpy as np

from raytl.config.schema import AugmentConfig
from raytl.data.draw import Box, Draw, drawn, numbers
from raytl.data.images import Pixels
from raytl.data.placement import Placement, Size, scaling, shift, window
from raytl.data.transforms import Preprocess
from raytl.data.view_pixels import finished, flipped, flips_of, interpolation_of, resized, sampled


class SceneAugment:
    """Turn a prepared image of the crop mode `fit` into a training view of the frame's size, which need not be square.

    As `TrainAugment`, except for the crop; s = strength:

    ============  ======================================================  =========  ==========  ==========
    part          what is drawn                                           s = 0      s = 0.5     s = 1
    ============  ======================================================  =========  ==========  ==========
    crop          scale, from 1 - 0.4 s to 1 + 0.6 s                      1          0.8 .. 1.3  0.6 .. 1.6
    (crop)        position in the canvas: cropped if larger, else padded  uniform    uniform     uniform
    rotation      of s / 2 of the images, up to 20 s degrees              none       10          20
    ============  ======================================================  =========  ==========  ==========

    What is not covered has the mean color. With `crop` off, the view is the evaluation view. A quarter turn on a canvas that
    is not square scales the turned image to fit.
    """

    def __init__(self, config: AugmentConfig, preprocess: Preprocess) -> None:
        assert preprocess.crop_mode == "fit", "the canvas is the frame"
        self._config = config
        self._size = preprocess.view_size
        self._interpolation = interpolation_of(preprocess)
        self._fill = preprocess.mean_color

    @property
    def size(self) -> Size:
        """Height and width of the views."""
        return self._size

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Draw:
        """Draw the parameters for an image of this size; the box is the part of it that the view shows, and may extend beyond it."""
        u, c = numbers(rng), self._config
        turned = c.rotate90 and int(4 * u[6]) % 2 == 1
        canvas = self._canvas(turned)
        scale = min(canvas[0] / height, canvas[1] / width) if turned else 1.0
        if c.crop:
            lowest, highest = 1 - 0.4 * c.strength, 1 + 0.6 * c.strength
            scale *= lowest + (highest - lowest) * u[0]
        visible = (canvas[0] / scale, canvas[1] / scale)
        top, left = ((length - s) * v * c.crop for length, s, v in zip((height, width), visible, u[2:4], strict=True))
        return drawn(c, u, Box(top, left, *visible), self._size)

    def apply(self, prepared: Pixels, draw: Draw) -> Pixels:
        """Apply the draw: `(height, width, channels)` to a new view of `size`."""
        place = self._rotated if draw.angle else self._pasted
        return finished(flipped(place(prepared, draw), draw), draw, self._fill)

    def placement(self, draw: Draw, height: int, width: int) -> Placement:
        """Return the map from a prepared image of this size to its view under the draw."""
        canvas = self._canvas(draw.quarter_turns % 2 == 1)
        if draw.angle:
            placed = window(*_window(draw), draw.angle, canvas)
        else:
            scaled, top, left = _layout(draw, (height, width), canvas)
            placed = scaling((height, width), scaled).then(shift(left, top, canvas))
        return placed.then(flips_of(draw, canvas))

    def _canvas(self, turned: bool) -> Size:
        """Return the (height, width) before an odd number of quarter turns."""
        return (self._size[1], self._size[0]) if turned else self._size

    def _rotated(self, prepared: Pixels, draw: Draw) -> Pixels:
        canvas = self._canvas(draw.quarter_turns % 2 == 1)
        return sampled(prepared, *_window(draw), draw.angle, canvas, self._fill)

    def _pasted(self, prepared: Pixels, draw: Draw) -> Pixels:
        """Return the canvas with the resized image on it."""
        canvas = self._canvas(draw.quarter_turns % 2 == 1)
        scaled, top, left = _layout(draw, (prepared.shape[0], prepared.shape[1]), canvas)
        image = prepared if scaled == prepared.shape[:2] else resized(prepared, scaled, self._interpolation)
        view = np.empty((*canvas, image.shape[2]), dtype=np.uint8)
        view[:] = self._fill
        part = image[max(-top, 0) : canvas[0] - top, max(-left, 0) : canvas[1] - left]
        view[max(top, 0) :, max(left, 0) :][: part.shape[0], : part.shape[1]] = part
        return view


def _box(draw: Draw) -> Box:
    assert draw.box is not None, "drawn by SceneAugment"
    return draw.box


def _window(draw: Draw) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the center and the half size of the part of the image that the view shows."""
    box = _box(draw)
    return (box.top + box.height / 2, box.left + box.width / 2), (box.height / 2, box.width / 2)


def _layout(draw: Draw, image: Size, canvas: Size) -> tuple[Size, int, int]:
    """Return the size of the image on the canvas, and its top and left there: whole pixels, so that targets move exactly."""
    box = _box(draw)
    scale = canvas[0] / box.height
    scaled = (max(1, round(image[0] * scale)), max(1, round(image[1] * scale)))
    return scaled, round(-box.top * scale), round(-box.left * scale)
