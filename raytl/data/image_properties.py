"""Measure photographic properties of images on their thumbnails: brightness, contrast, blur, color cast; and size and aspect."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
"""RGB thumbnails of one size, `(n, height, width, 3) uint8`."""
Floats = NDArray[np.float64]
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""The weights of RGB in brightness (ITU-R BT.601)."""
_AT_ONCE = 256


def properties(thumbnails: Images, sizes: NDArray[np.int64]) -> dict[str, Floats]:
    """Return each property by name, `(n,)`, of thumbnails and the `sizes (n, 2)` of their images, width and height in pixels.

    `brightness` and `contrast` are the mean and the standard deviation of the luma, 0 to 255. `sharpness` is the variance of
    its Laplacian (Pech-Pacheco et al. 2000), low for blurred images. `warmth` is mean red minus mean blue and `greenness` mean
    green minus the mean of both, the color cast. `megapixels` and `aspect` (width by height) are those of the image.
    """
    chunks = [_of_pixels(thumbnails[start : start + _AT_ONCE]) for start in range(0, len(thumbnails), _AT_ONCE)]
    measured = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]} if chunks else {}
    width, height = sizes.T.astype(np.float64)
    return {**measured, "megapixels": width * height / 1e6, "aspect": width / height}


def _of_pixels(thumbnails: Images) -> dict[str, Floats]:
    gray = luma(thumbnails)
    red, green, blue = thumbnails.mean(axis=(1, 2), dtype=np.float64).T
    return {
        "brightness": gray.mean(axis=(1, 2), dtype=np.float64),
        "contrast": gray.std(axis=(1, 2), dtype=np.float64),
        "sharpness": _laplacian(gray).var(axis=(1, 2), dtype=np.float64),
        "warmth": red - blue,
        "greenness": green - (red + blue) / 2,
    }


def luma(thumbnails: Images) -> NDArray[np.float32]:
    """Return the brightness of each pixel, `(n, height, width)`, 0 to 255."""
    return np.asarray(thumbnails.astype(np.float32) @ _LUMA)


def _laplacian(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sum of the four neighbors minus four times the pixel, inside the border."""
    inside = gray[:, 1:-1, 1:-1]
    return np.asarray(
        gray[:, :-2, 1:-1] + gray[:, 2:, 1:-1] + gray[:, 1:-1, :-2] + gray[:, 1:-1, 2:] - 4 * inside, np.float32
    )
