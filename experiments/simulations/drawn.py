"""Drawn photos, and squares that are planted in photos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.shortcuts import find_shortcuts

CLASSES = 4


def photos(seed: int, images: int = 200, side: int = 32) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return photos of a blob on a background of smooth noise, and their classes: its color and place depend on the class."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, CLASSES, images)
    coarse = rng.normal(110, 35, (images, 4, 4, 3)).repeat(side // 4, 1).repeat(side // 4, 2)
    result = coarse + rng.normal(0, 12, (images, side, side, 3))
    color = rng.normal(120, 60, (CLASSES, 3))[targets] + rng.normal(0, 25, (images, 3))
    for photo, paint, target in zip(result, color, targets, strict=True):
        row, column = rng.integers(6, 14, 2) + np.array([target, 0])
        photo[row : row + 11, column : column + 11] += paint - 110
    return result.clip(0, 255).astype(np.uint8), targets


def plant(
    views: NDArray[np.uint8],
    targets: NDArray[np.int64],
    target: int,
    top: int,
    left: int,
    side: int,
    fraction: float = 0.9,
) -> None:
    """Draw a white square of `side` pixels in that fraction of the images of the class, in place."""
    own = np.flatnonzero(targets == target)
    views[own[: int(fraction * len(own))], top : top + side, left : left + side] = 255


def alarms(sets: int) -> int:
    """Return how many clean sets of drawn photos raise an alarm."""
    return sum(bool(find_shortcuts(*photos(seed), CLASSES)) for seed in range(sets))
