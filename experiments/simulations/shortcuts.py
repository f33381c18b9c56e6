"""Search photos for shortcuts: alarms where none was planted, and squares that were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.simulations.drawn import plant
from experiments.simulations.photos import Photos, thumbnails
from raytl.metrics.shortcuts import CELLS, MIN_IMAGES, find_shortcuts

SIDES = (0.125, 0.1875)
"""Widths of the squares that are planted, as fractions of the image's: a cell, and one and a half. Their place is random."""
_FRACTION = 0.9


@dataclass(frozen=True)
class Planted:
    """Squares of one size: how many were `planted`, `named` with their class at a cell that they touch, and at a `wrong`
    place or class."""

    side: float
    planted: int
    named: int
    wrong: int


def alarms(sets: Sequence[Photos], samples: int) -> list[str]:
    """Return a line for each alarm on `samples` samples of the clean sets in turn, each of 70 % of the photos."""
    lines = []
    for number in range(samples):
        photos = sets[number % len(sets)].shuffled(number, 0.7)
        lines += [
            f"{photos.name}, sample {number}: class {each.target}, cell {each.cell}, z {each.z:.1f}"
            for each in find_shortcuts(thumbnails(photos.views), photos.targets, photos.classes)
        ]
    return lines


def squares(sets: Sequence[Photos], each: int, side: float) -> Planted:
    """Plant a white square at a random place of a random class, `each` times in each set, and search for it."""
    rng = np.random.default_rng(0)
    named = wrong = 0
    for photos in sets:
        counts = np.bincount(photos.targets)
        for _ in range(each):
            target = int(rng.choice(np.flatnonzero(counts >= 2 * MIN_IMAGES)))
            views, px = photos.views.copy(), photos.views.shape[1]
            length = round(side * px)
            top, left = rng.integers(0, px - length + 1, 2).tolist()
            plant(views, photos.targets, target, top, left, length, _FRACTION)
            for found in find_shortcuts(thumbnails(views), photos.targets, photos.classes):
                touches = all(
                    start < (cell + 1) * px / CELLS and cell * px / CELLS < start + length
                    for cell, start in zip(found.cell, (top, left), strict=True)
                )
                is_named = found.target == target and touches
                named, wrong = named + is_named, wrong + (not is_named)
    return Planted(side, each * len(sets), named, wrong)
