"""The pixels of class maps as arrays of `evidence.safetensors` (`pixels.bins`, ...), and back, with every value bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.pixels import MAX_SUSPECTS, SUSPECT, Pixels
from raytl.metrics.scores import ECE_BINS

_PREFIX = "pixels."
_TYPES: Mapping[str, type] = {"bins": np.float64, "edges": np.int64, "counts": np.int64, "suspects": np.float32}
_LIMIT = 1 << 53
"""Counts up to here are whole numbers as float64 too."""
_FRACTIONS, _COORDINATES = [1.000001] * 2, [1e9] * 4


def arrays_of(pixels: Pixels) -> dict[str, NDArray[Any]]:
    """Return the arrays of the file."""
    return {f"{_PREFIX}{name}": np.ascontiguousarray(getattr(pixels, name), kind) for name, kind in _TYPES.items()}


def pixels_of(arrays: Mapping[str, NDArray[Any]], images: int, classes: int) -> Pixels | None:
    """Return the pixels in the arrays of a file, of so many images and classes; None if it has none.

    Raises:
        ValueError: an array is missing, or has another type, shape or values out of bounds; it says which.
    """
    if not any(name.startswith(_PREFIX) for name in arrays):
        return None
    shapes = {
        "bins": (images, ECE_BINS, 3),
        "edges": (images, 4),
        "counts": (images, 3, classes),
        "suspects": (images, MAX_SUSPECTS, len(SUSPECT)),
    }
    values = {}
    for name, shape in shapes.items():
        value = arrays.get(_PREFIX + name, np.zeros(0, np.bool_))
        if value.dtype != _TYPES[name] or value.shape != shape:
            raise ValueError(
                f"{_PREFIX}{name}: found {value.dtype} {value.shape}; expected {np.dtype(_TYPES[name])} {shape}"
            )
        limit = np.array([classes - 1, classes - 1, *_FRACTIONS, *_COORDINATES]) if name == "suspects" else _LIMIT
        if not ((value >= 0) & (value <= limit)).all():  # NaN is out of bounds too
            raise ValueError(
                f"{_PREFIX}{name}: found values out of bounds; expected counts, classes, fractions and pixels"
            )
        values[name] = value
    return Pixels(**values)


def in_order(pixels: Pixels | None, order: NDArray[np.int64]) -> Pixels | None:
    """Return the pixels with image `order[i]` at place i."""
    return None if pixels is None else Pixels(*(getattr(pixels, each.name)[order] for each in fields(Pixels)))
