"""Photographic properties of pixels, without torch: brightness, contrast, sharpness and color cast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
"""RGB images of one size, `(n, height, width, 3) uint8`."""
Floats = NDArray[np.float64]
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""The weights of RGB in brightness (ITU-R BT.601)."""


def of_pixels(thumbnails: Images) -> dict[str, Floats]:
    """Return brightness, contrast, sharpness, warmth and greenness of images of one size, each `(n,)`."""
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
