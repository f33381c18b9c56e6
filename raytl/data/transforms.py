"""The pretrained model's own preprocessing, in two halves: pixels that can be kept (`prepare`) and the view that is cut from them.

A prepared image is the resized photo, uint8 RGB, before any crop. It is what the cache holds, what training
augments and what evaluation crops, so that all of them see the same pixels whether the cache is on or off.
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
"""A photo longer than this many times its width loses its ends before it is resized: 1 x 100000 pixels would become gigabytes."""

MIN_IMAGE_PX, MAX_IMAGE_PX, MAX_RESIZE_PX = 8, 4096, 8192
"""Sides in pixels that a stored model may ask for: a longer one would have each image take gigabytes."""
_MODES = tuple(mode.value for mode in InterpolationMode)
_Interpolation = Annotated[str, Bound(f"one of {', '.join(_MODES)}", lambda value: value in _MODES)]
_Channel = Annotated[float, within(-1000, 1000)]
_Spread = Annotated[float, within(1e-6, 1000)]


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How an image becomes the model's input: resize to `resize_px`, crop `image_px` from the centre, normalise.

    `center` resizes the shorter side to `resize_px`, `squash` both sides. `mean` and `std` are per RGB channel in [0, 1].
    """

    image_px: Annotated[int, within(MIN_IMAGE_PX, MAX_IMAGE_PX, "pixels")]
    resize_px: Annotated[int, within(1, MAX_RESIZE_PX, "pixels")]
    crop_mode: Literal["center", "squash"]
    interpolation: _Interpolation
    mean: tuple[_Channel, _Channel, _Channel]
    std: tuple[_Spread, _Spread, _Spread]
    bit_depth: BitDepth = SIXTEEN_BITS
    """How images of more than 8 bits are scaled to 8; found in the training data, not in the pretrained model."""

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    def at(self, depth: BitDepth) -> Preprocess:
        """Return the same preprocessing of images that are scaled by `depth`."""
        return replace(self, bit_depth=depth)

    @property
    def key(self) -> str:
        """Names what decides the prepared pixels; 16 hex digits."""
        depth = [self.bit_depth.bits, self.bit_depth.fixed]
        decides = ["prepared/2", self.resize_px, self.crop_mode, self.interpolation, *depth]
        return hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:16]


def prepare(image: Image.Image, preprocess: Preprocess) -> NDArray[np.uint8]:
    """The RGB image resized with antialiasing, `(height, width, 3) uint8`; the bits of timm's `transforms_imagenet_eval`.

    Photos longer than `MAX_ASPECT` times their width lose their ends in `center` mode.
    """
    size = preprocess.resize_px
    if preprocess.crop_mode == "squash":
        wanted = [size, size]
    else:
        image = _without_ends(image)
        wanted = [size]
    mode = InterpolationMode(preprocess.interpolation)
    return np.array(tv.resize(image, wanted, interpolation=mode, antialias=True), dtype=np.uint8)


def _without_ends(image: Image.Image) -> Image.Image:
    """The middle of a very long image, so that no side is over `MAX_ASPECT` times the other."""
    width, height = image.size
    bound = int(MAX_ASPECT * min(width, height))
    if max(width, height) <= bound:
        return image
    keep_w, keep_h = min(width, bound), min(height, bound)
    left, top = (width - keep_w) // 2, (height - keep_h) // 2
    return image.crop((left, top, left + keep_w, top + keep_h))


def eval_view(prepared: NDArray[np.uint8], preprocess: Preprocess) -> torch.Tensor:
    """The evaluation crop of a prepared image, `(3, image_px, image_px) uint8` in channels-last memory."""
    return torch.from_numpy(center_crop(prepared, preprocess.image_px)).permute(2, 0, 1)


def center_crop(prepared: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The centre `(side, side, 3)` as torchvision's CenterCrop cuts it, black where the image is smaller; a copy."""
    missing = [max(side - length, 0) for length in prepared.shape[:2]]
    if any(missing):
        pads = [(m // 2, (m + 1) // 2) for m in missing]
        prepared = np.pad(prepared, [*pads, (0, 0)])
    # round() as in torchvision: half to even
    top, left = (round((length - side) / 2.0) for length in prepared.shape[:2])
    return prepared[top : top + side, left : left + side].copy()
