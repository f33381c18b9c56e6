"""Apply the pretrained model's preprocessing in two steps: resize to cacheable pixels (`prepare`), then crop a view.

A prepared image is the resized photo, uint8 RGB, before any crop. The cache stores it, training augments it and
evaluation crops it, so all of them see the same pixels whether the cache is on or off.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from raytl.data.bit_depth import MAX_CHANNELS, RGB, SIXTEEN_BITS, BitDepth
from raytl.data.placement import Placement, scaling, shift
from raytl.stored.bounds import Bound, at_least, at_most, within
from raytl.stored.fault import mismatch

MAX_ASPECT = 8.0
"""Photos with a larger aspect ratio are cropped to it before resizing: 1 x 100000 pixels would become gigabytes."""

MIN_IMAGE_PX, MAX_IMAGE_PX, MAX_RESIZE_PX = 8, 4096, 8192
"""Allowed side lengths in pixels of stored models: with larger ones, each image would take gigabytes."""
_MODES = tuple(mode.value for mode in InterpolationMode)
_Interpolation = Annotated[str, Bound(f"one of {', '.join(_MODES)}", lambda value: value in _MODES)]
_FrameSide = Annotated[int, within(MIN_IMAGE_PX, MAX_IMAGE_PX, "pixels")]
_Channel = Annotated[float, within(-1000, 1000)]
_ChannelStd = Annotated[float, within(1e-6, 1000)]


@dataclass(frozen=True, slots=True)
class Preprocess:
    """The steps from an image to the model's input: resize to `resize_px`, center-crop `image_px`, normalize.

    `center` resizes the shorter side to `resize_px`, `squash` both edges. `fit` resizes the image to fit into `frame` with
    its aspect ratio kept, and pads it at the right and the bottom; `image_px` and `resize_px` are the frame's longer side.
    `mean` and `std` are per channel in [0, 1]: of RGB, or of the 2 to 16 channels of other images.
    """

    image_px: Annotated[int, within(MIN_IMAGE_PX, MAX_IMAGE_PX, "pixels")]
    resize_px: Annotated[int, within(1, MAX_RESIZE_PX, "pixels")]
    crop_mode: Literal["center", "squash", "fit"]
    interpolation: _Interpolation
    mean: Annotated[tuple[_Channel, ...], at_least(2, "channels"), at_most(MAX_CHANNELS, "channels")]
    std: Annotated[tuple[_ChannelStd, ...], at_least(2, "channels"), at_most(MAX_CHANNELS, "channels")]
    bit_depth: BitDepth = SIXTEEN_BITS
    """The depth from which images above 8 bits are scaled; it comes from the training data, not from the pretrained model."""
    frame: tuple[_FrameSide, _FrameSide] | None = None
    """Width and height of the views in pixels, if the crop mode is `fit`."""

    def __post_init__(self) -> None:
        if (self.crop_mode == "fit") != (self.frame is not None):
            raise mismatch(self.frame, "[width, height] for the crop mode fit, and null for the others").below("frame")
        if len(self.std) != len(self.mean):
            raise mismatch(list(self.std), f"{len(self.mean)} numbers, as mean has").below("std")
        if len(ranges := self.bit_depth.ranges) > 1 and len(ranges) != len(self.mean):
            raise mismatch(len(ranges), f"{len(self.mean)} ranges, one for each channel").below("bit_depth.ranges")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        values = {**asdict(self), "mean": list(self.mean), "std": list(self.std), "bit_depth": self.bit_depth.to_json()}
        if values.pop("frame") is not None:
            values["frame"] = list(self.frame or ())
        return values

    def at(self, depth: BitDepth) -> Preprocess:
        """Return the same preprocessing with images scaled by `depth`, and its mean and deviation where it has them."""
        mean, std = depth.mean or self.mean, depth.std or self.std
        return replace(self, bit_depth=depth.without_statistics(), mean=mean, std=std)

    def fit(self, frame: tuple[int, int]) -> Preprocess:
        """Return the same preprocessing with images that fit into a frame of (width, height) pixels."""
        side = max(frame)
        return replace(self, crop_mode="fit", frame=frame, image_px=side, resize_px=side)

    @property
    def channels(self) -> int:
        """Return the channels of the images: 3 for RGB, grey and all that becomes RGB."""
        return len(self.mean)

    @property
    def measured(self) -> BitDepth:
        """Return what `at` needs for another model that reads the same images; of RGB images, the mean is the model's own."""
        return self.bit_depth if self.channels == RGB else replace(self.bit_depth, mean=self.mean, std=self.std)

    @property
    def view_size(self) -> tuple[int, int]:
        """Return the height and width of the views."""
        return (self.image_px, self.image_px) if self.frame is None else (self.frame[1], self.frame[0])

    @property
    def mean_color(self) -> NDArray[np.uint8]:
        """Return the mean color, with which views are padded: `(channels,) uint8`."""
        return np.array([round(255 * min(max(m, 0.0), 1.0)) for m in self.mean], dtype=np.uint8)

    @property
    def key(self) -> str:
        """Return a name for everything that determines the prepared pixels; 16 hex digits."""
        depth = [self.bit_depth.bits, self.bit_depth.fixed]
        size = self.resize_px if self.frame is None else self.frame
        fields: list[Any] = ["prepared/2", size, self.crop_mode, self.interpolation, *depth]
        if self.bit_depth.ranges or self.bit_depth.window or self.channels != RGB:
            fields += [self.channels, self.bit_depth.ranges, self.bit_depth.window]
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:16]


def prepare(image: Image.Image, preprocess: Preprocess) -> NDArray[np.uint8]:
    """Return the RGB image resized with antialiasing, `(height, width, 3) uint8`; bit-equal to timm's `transforms_imagenet_eval`.

    In `center` mode, photos are first cropped to an aspect ratio of `MAX_ASPECT`. In `fit` mode, nothing is padded yet.
    """
    if preprocess.crop_mode == "center":
        image = image.crop(box) if (box := _inner_box(*image.size)) != (0, 0, *image.size) else image
    mode = InterpolationMode(preprocess.interpolation)
    target = list(_resized(*image.size, preprocess))
    return np.array(tv.resize(image, target, interpolation=mode, antialias=True), dtype=np.uint8)


def prepare_channels(pixels: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.uint8]:
    """Return an image of any number of channels, `(height, width, channels) uint8`, resized channel by channel as in `prepare`."""
    parts = [prepare(Image.fromarray(pixels[..., i]), preprocess) for i in range(pixels.shape[2])]
    return np.stack(parts, axis=-1)


def _inner_box(width: int, height: int) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the center of a very long image: no side is over `MAX_ASPECT` times the other."""
    bound = int(MAX_ASPECT * min(width, height))
    keep_w, keep_h = min(width, bound), min(height, bound)
    left, top = (width - keep_w) // 2, (height - keep_h) // 2
    return left, top, left + keep_w, top + keep_h


def _resized(width: int, height: int, preprocess: Preprocess) -> tuple[int, int]:
    """Return the height and width to which an image of this size is resized."""
    size = preprocess.resize_px
    if preprocess.frame is not None:
        ratio = min(preprocess.frame[0] / width, preprocess.frame[1] / height)
        return max(1, round(height * ratio)), max(1, round(width * ratio))
    if preprocess.crop_mode == "squash":
        return size, size
    # truncated as in torchvision
    return (int(size * height / width), size) if width <= height else (size, int(size * width / height))


def prepared_placement(width: int, height: int, preprocess: Preprocess) -> Placement:
    """Return the map from an upright image of this size to its prepared image."""
    x0, y0, x1, y1 = _inner_box(width, height) if preprocess.crop_mode == "center" else (0, 0, width, height)
    cropped = (y1 - y0, x1 - x0)
    return shift(-x0, -y0, cropped).then(scaling(cropped, _resized(*cropped[::-1], preprocess)))


def eval_placement(width: int, height: int, preprocess: Preprocess) -> Placement:
    """Return the map from an upright image of this size to its evaluation view."""
    prepared = prepared_placement(width, height, preprocess)
    return prepared.then(view_placement(prepared.size, preprocess))


def view_placement(prepared: tuple[int, int], preprocess: Preprocess) -> Placement:
    """Return the map from a prepared image of this (height, width) to its evaluation view."""
    if preprocess.frame is not None:
        return shift(0, 0, preprocess.view_size)
    return center_placement(prepared, preprocess.image_px)


def eval_view(prepared: NDArray[np.uint8], preprocess: Preprocess) -> torch.Tensor:
    """Return the evaluation view of a prepared image, `(channels, height, width) uint8` in channels-last memory."""
    return torch.from_numpy(eval_pixels(prepared, preprocess)).permute(2, 0, 1)


def eval_pixels(prepared: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.uint8]:
    """Return the evaluation view of a prepared image, `(height, width, channels) uint8`; a copy."""
    if preprocess.frame is None:
        return center_crop(prepared, preprocess.image_px)
    view = np.empty((*preprocess.view_size, prepared.shape[2]), dtype=np.uint8)
    height, width = prepared.shape[:2]
    view[:height, :width] = prepared
    view[height:] = view[:height, width:] = preprocess.mean_color
    return view


def center_crop(prepared: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return the center `(side, side, channels)` like torchvision's CenterCrop, padded with black if the image is smaller; a copy."""
    missing = [max(side - length, 0) for length in prepared.shape[:2]]
    if any(missing):
        pads = [(m // 2, (m + 1) // 2) for m in missing]
        prepared = np.pad(prepared, [*pads, (0, 0)])
    top, left = (_center(length, side) for length in prepared.shape[:2])
    return prepared[top : top + side, left : left + side].copy()


def center_placement(size: tuple[int, int], side: int) -> Placement:
    """Return the map of `center_crop` for an image of `size` (height, width)."""
    top, left = (_center(length, side) for length in size)
    return shift(-left, -top, (side, side))


def _center(length: int, side: int) -> int:
    """Return the first pixel of the center; negative if it starts in the padding."""
    # round() as in torchvision: half to even
    return round((length - side) / 2.0) if length >= side else -((side - length) // 2)
