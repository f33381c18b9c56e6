"""Remove one kind of information from images, to see from the model's accuracy without it what the answers rest on.

Each function maps an RGB image `(height, width, 3) uint8` to one of the same size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
_CENTER = 0.6
"""The side of the center, as a fraction of the image's: 36 % of the area."""
_PATCHES = 4
"""Patches along each side that are shuffled."""
_LUMA = np.array([0.299, 0.587, 0.114])
_MIN_DEVIATION = 1.0


def background_only(image: Image) -> Image:
    """Return the image with its center in the mean color of the rest."""
    changed, inside = image.copy(), _center(image)
    is_outside = np.ones(image.shape[:2], np.bool_)
    is_outside[inside] = False
    changed[inside] = image[is_outside].mean(axis=0) if is_outside.any() else image.mean(axis=(0, 1))
    return changed


def center_only(image: Image) -> Image:
    """Return the image with everything but its center in the mean color of the center."""
    inside = _center(image)
    changed = np.empty_like(image)
    changed[:] = image[inside].mean(axis=(0, 1))
    changed[inside] = image[inside]
    return changed


def _center(image: Image) -> tuple[slice, slice]:
    """Return the rows and columns of the center."""
    margins = [int(side * (1 - _CENTER) / 2) for side in image.shape[:2]]
    rows, columns = (slice(margin, side - margin) for margin, side in zip(margins, image.shape[:2], strict=True))
    return rows, columns


def gray(image: Image) -> Image:
    """Return the image without color."""
    return np.repeat((image @ _LUMA).round().astype(np.uint8)[..., None], 3, axis=2)


def shuffled(image: Image) -> Image:
    """Return the image with its 16 patches in another order, the same for every image: textures stay, shapes do not.

    Rows and columns that do not divide into patches stay where they are.
    """
    height, width = (side // _PATCHES for side in image.shape[:2])
    changed = image.copy()
    order = np.random.default_rng(0).permutation(_PATCHES**2)
    for place, source in enumerate(order.tolist()):
        (top, left), (row, column) = (divmod(each, _PATCHES) for each in (place, source))
        changed[top * height : (top + 1) * height, left * width : (left + 1) * width] = image[
            row * height : (row + 1) * height, column * width : (column + 1) * width
        ]
    return changed


ABLATIONS: Mapping[str, Callable[[Image], Image]] = MappingProxyType(
    {
        "background only": background_only,
        "center only": center_only,
        "gray": gray,
        "shuffled patches": shuffled,
    }
)
"""What is left of an image, and the function that leaves it."""


def equalized(images: Sequence[Image], targets: NDArray[np.int64]) -> list[Image]:
    """Return images whose classes have the same mean brightness, color cast and contrast, and the same size.

    Each class's channels are shifted and scaled so that their mean and deviation over its images are those of the mean class;
    differences within a class stay. All are reduced to the size of the smallest image, so that resolution says nothing.
    """
    if not images:
        return []
    height, width = (min(image.shape[axis] for image in images) for axis in (0, 1))
    facts = np.array([[image.mean(axis=(0, 1)), image.std(axis=(0, 1))] for image in images]).reshape(-1, 2, 3)
    of_class = {number: facts[targets == number].mean(axis=0) for number in np.unique(targets).tolist()}
    wanted = np.mean(list(of_class.values()), axis=0)
    return [
        _matched(_reduced(image, height, width), of_class[target], wanted)
        for image, target in zip(images, targets.tolist(), strict=True)
    ]


def _matched(image: Image, has: NDArray[np.float64], wanted: NDArray[np.float64]) -> Image:
    """Return the image with its channels mapped from the mean and deviation that its class `has` to the `wanted` ones."""
    scale = wanted[1] / np.maximum(has[1], _MIN_DEVIATION)
    return np.asarray(np.clip((image - has[0]) * scale + wanted[0] + 0.5, 0, 255), np.uint8)


def _reduced(image: Image, height: int, width: int) -> Image:
    from PIL import Image as Pictures

    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Pictures.fromarray(image).resize((width, height), Pictures.Resampling.BOX))
