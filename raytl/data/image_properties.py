"""Measure photographic properties of images on their thumbnails: brightness, contrast, blur, color cast; and size and aspect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from raytl.data.bit_depth import RGB
from raytl.data.channel_values import seen_channels
from raytl.data.pixel_properties import Floats, Images, of_pixels

_AT_ONCE = 256
NAMES = ("brightness", "contrast", "sharpness", "warmth", "greenness", "megapixels", "aspect")
PIXEL_PROPERTIES = 5
"""The first properties are of pixels, the last two of the file."""
THUMBNAIL_PX = 32
"""The side of a thumbnail."""


def properties(thumbnails: Images, sizes: NDArray[np.int64]) -> dict[str, Floats]:
    """Return each property by name, `(n,)`, of thumbnails and the `sizes (n, 2)` of their images, width and height in pixels.

    `brightness` and `contrast` are the mean and the standard deviation of the luma, 0 to 255. `sharpness` is the variance of
    its Laplacian (Pech-Pacheco et al. 2000), low for blurred images. `warmth` is mean red minus mean blue and `greenness` mean
    green minus the mean of both, the color cast. `megapixels` and `aspect` (width by height) are those of the image.
    """
    chunks = [of_pixels(thumbnails[start : start + _AT_ONCE]) for start in range(0, len(thumbnails), _AT_ONCE)]
    measured = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]} if chunks else {}
    width, height = sizes.reshape(-1, 2).T.astype(np.float64)
    return {**measured, "megapixels": width * height / 1e6, "aspect": width / height}


def of_batch(images: Tensor) -> tuple[Images, NDArray[np.float32]]:
    """Return thumbnails `(b, 32, 32, 3) uint8` and the properties of the pixels, `(b, 5)`, of `images (b, channels, h, w) uint8`:
    of other than three channels, those of the channels that people see."""
    pixels = seen(images.cpu())
    small = interpolate(pixels.float(), size=(THUMBNAIL_PX, THUMBNAIL_PX), mode="area")
    measured = of_pixels(pixels.permute(0, 2, 3, 1).numpy())
    table = np.stack([measured[name] for name in NAMES[:PIXEL_PROPERTIES]], axis=1).astype(np.float32)
    return small.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy(), table


def seen(images: Tensor) -> Tensor:
    """Return what people see of `images (b, channels, h, w)`, `(b, 3, h, w)`; RGB as it is."""
    return images if images.shape[1] == RGB else images[:, list(seen_channels(images.shape[1]))]


def with_sizes(table: NDArray[np.float32], sizes: Sequence[tuple[int, int] | None]) -> NDArray[np.float32]:
    """Return `table (n, 5)` of `of_batch` with the columns of size and aspect, `(n, 7)`; 0 where the size is not known."""
    width, height = np.array([size or (0, 0) for size in sizes], np.float64).reshape(-1, 2).T
    aspect = np.divide(width, height, out=np.zeros_like(width), where=height > 0)
    return np.column_stack([table, width * height / 1e6, aspect]).astype(np.float32)
