"""Keep a class map as the bytes of a small PNG, so that an evaluation can show the worst images without predicting them again."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE_PX = 256


def packed(class_map: NDArray[np.uint8]) -> bytes:
    """Return a class map `(h, w)` as PNG with its longer side reduced to `SIDE_PX`, by nearest values.

    The bytes do not end in zeros, so that numpy's type `S` keeps them.
    """
    image = Image.fromarray(class_map)
    image.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def unpacked(content: bytes) -> NDArray[np.uint8]:
    """Return the class map that `packed` reduced."""
    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        return np.asarray(image, dtype=np.uint8)
