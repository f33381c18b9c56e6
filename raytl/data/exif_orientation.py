"""Turn pixels and points upright by the EXIF orientation of their image."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps


def apply_orientation(image: Image.Image) -> Image.Image:
    """Return the image, decoded and rotated upright in place."""
    image.load()
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # a broken EXIF block does not make the pixels unusable
        return image
    return image


def turned_point(x: float, y: float, stored: tuple[int, int], orientation: int) -> tuple[float, float]:
    """Return where a point of the stored image, of `stored` (width, height), is in the upright one."""
    width, height = stored
    match orientation:
        case 2:
            return width - x, y
        case 3:
            return width - x, height - y
        case 4:
            return x, height - y
        case 5:
            return y, x
        case 6:
            return height - y, x
        case 7:
            return height - y, width - x
        case 8:
            return y, width - x
    return x, y


_Value = TypeVar("_Value", bound=np.generic)


def turned(pixels: NDArray[_Value], orientation: int) -> NDArray[_Value]:
    """Return `(height, width)` pixels of the stored image as those of the upright image."""
    turns: dict[int, Any] = {
        2: np.fliplr,
        3: lambda stored: np.rot90(stored, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda stored: np.rot90(stored, -1),
        7: lambda stored: np.rot90(stored, 2).T,
        8: np.rot90,
    }
    return turns[orientation](pixels) if orientation in turns else pixels
