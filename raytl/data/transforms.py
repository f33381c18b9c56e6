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

from raytl.data.bit_depth import SIXTEEN_BITS, BitDepth
from raytl.stored.bounds import Bound, within

MAX_ASPECT = 8.0
"""Photos with a larger aspect ratio are cropped to it before resizing: 1 x 100000 pixels would become gigabytes."""

MIN_IMAGE_PX, MAX_IMAGE_PX, MAX_RESIZE_PX = 8, 4096, 8192
"""Allowed side lengths in pixels of stored models: with larger ones, each image would take gigabytes."""
_MODES = tuple(mode.value for mode in InterpolationMode)
_Interpolation = Annotated[str, Bound(f"one of {', '.join(_MODES)}", lambda value: value in _MODES)]
_Channel = Annotated[float, within(-1000, 1000)]
_Spread = Annotated[float, within(1e-6, 1000)]


@dataclass(frozen=True, slots=True)
class Preprocess:
    """The steps from an image to the model's input: resize to `resize_px`, center-crop `image_px`, normalize.

    `center` resizes the shorter side to `resize_px`, `squash` both sides. `mean` and `std` are per RGB channel in [0, 1].
    """

    image_px: Annotated[int, within(MIN_IMAGE_PX, MAX_IMAGE_PX, "pixels")]
    resize_px: Annotated[int, within(1, MAX_RESIZE_PX, "pixels")]
    crop_mode: Literal["center", "squash"]
    interpolation: _Interpolation
    mean: tuple[_Channel, _Channel, _Channel]
    std: tuple[_Spread, _Spread, _Spread]
    bit_depth: BitDepth = SIXTEEN_BITS
    """The depth from which images above 8 bits are scaled; it comes from the training data, not from the pretrained model."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    def at(self, depth: BitDepth) -> Preprocess:
        """Return the same preprocessing with images scaled by `depth`."""
        return replace(self, bit_depth=depth)

    @property
    def key(self) -> str:
        """Return a name for everything that determines the prepared pixels; 16 hex digits."""
        depth = [self.bit_depth.bits, self.bit_depth.fixed]
        fields = ["prepared/2", self.resize_px, self.crop_mode, self.interpolation, *depth]
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:16]


def prepare(image: Image.Image, preprocess: Preprocess) -> NDArray[np.uint8]:
    """Return the RGB image resized with antialiasing, `(height, width, 3) uint8`; bit-equal to timm's `transforms_imagenet_eval`.

    In `center` mode, photos are first cropped to an aspect ratio of `MAX_ASPECT`.
    """
    size = preprocess.resize_px
    if preprocess.crop_mode == "squash":
        target = [size, size]
    else:
        image = _limit_aspect(image)
        target = [size]
    mode = InterpolationMode(preprocess.interpolation)
    return np.array(tv.resize(image, target, interpolation=mode, antialias=True), dtype=np.uint8)


def _limit_aspect(image: Image.Image) -> Image.Image:
    """Return the center of a very long image, so that no side is over `MAX_ASPECT` times the other."""
    width, height = image.size
    bound = int(MAX_ASPECT * min(width, height))
    if max(width, height) <= bound:
        return image
    keep_w, keep_h = min(width, bound), min(height, bound)
    left, top = (width - keep_w) // 2, (height - keep_h) // 2
    return image.crop((left, top, left + keep_w, top + keep_h))


def eval_view(prepared: NDArray[np.uint8], preprocess: Preprocess) -> torch.Tensor:
    """Return the evaluation crop of a prepared image, `(3, image_px, image_px) uint8` in channels-last memory."""
    return torch.from_numpy(center_crop(prepared, preprocess.image_px)).permute(2, 0, 1)


def center_crop(prepared: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return the center `(side, side, 3)` like torchvision's CenterCrop, padded with black if the image is smaller; a copy."""
    missing = [max(side - length, 0) for length in prepared.shape[:2]]
    if any(missing):
        pads = [(m // 2, (m + 1) // 2) for m in missing]
        prepared = np.pad(prepared, [*pads, (0, 0)])
    # round() as in torchvision: half to even
    top, left = (round((length - side) / 2.0) for length in prepared.shape[:2])
    return prepared[top : top + side, left : left + side].copy()
