"""Decode the mask of a photo: an image file with the class of each pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raytl.data.bad_image import BadImage
from raytl.data.decode import opened_image
from raytl.data.exif_orientation import turned

EXPECTED = "an 8-bit palette, gray or RGB image, or gray of 16 bits"


def mask_values(data: bytes, max_pixels: int, orientation: int = 1) -> NDArray[np.int32]:
    """Return the upright values `(height, width)` of a mask: palette indices, gray levels, or `r << 16 | g << 8 | b`.

    Raises:
        BadImage: it cannot be decoded, is too large, or is of another kind.
    """
    with opened_image(data, max_pixels) as image:
        return turned(values_of(image), orientation)


def values_of(image: Image.Image) -> NDArray[np.int32]:
    """Return the values of an opened mask as it is stored."""
    if image.mode in ("RGB", "RGBA"):
        red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")).astype(np.int32), -1, 0)
        return np.asarray(red << 16 | green << 8 | blue, np.int32)
    if image.mode in ("P", "L", "1", "I;16", "I;16L", "I;16B", "I", "LA"):
        first = image.getchannel(0) if image.mode == "LA" else image
        return np.asarray(first).astype(np.int32)
    raise BadImage(f"a mask of mode {image.mode}; expected {EXPECTED}")
