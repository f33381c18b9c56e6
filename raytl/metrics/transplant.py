"""Paste the patch of a shortcut into other images, to see whether a model's answers follow it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.shortcuts import CELLS, Cell, Shortcut

_MOVED = 0.05
_LEVEL = 0.05
Image = NDArray[np.uint8]
"""An RGB image, `(height, width, 3) uint8`."""
Predict = Callable[[Sequence[Image]], Floats]
"""The probabilities of a model for images, `(n, classes)`."""


@dataclass(frozen=True, slots=True)
class Transplant:
    """The mean probability of a class on images of other classes: as they are, with the patch of the shortcut, and with a patch
    from another place of the same images, for comparison. `p` is that of a sign test upwards between both patches."""

    images: int
    before: float
    after: float
    control: float
    p: float

    @property
    def is_confirmed(self) -> bool:
        """Return whether the patch of the shortcut moves the answers to its class."""
        return self.after - max(self.before, self.control) >= _MOVED and self.p <= _LEVEL


def transplant(
    shortcut: Shortcut, receivers: Sequence[Image], donors: Sequence[Image], predict: Predict, seed: int = 0
) -> Transplant:
    """Measure how the patch of a shortcut moves a model's answers when it is pasted from `donors` into other classes' images.

    The control is a patch of the same images at the opposite place, for a patch in the middle at a place beside it.
    """
    from scipy.stats import binomtest

    assert receivers and donors, "images of the class and of others"
    chosen = np.random.default_rng(seed).integers(0, len(donors), len(receivers))
    pasted, control = (
        [with_cells(image, donors[i], cells) for image, i in zip(receivers, chosen, strict=True)]
        for cells in (shortcut.cells, control_cells(shortcut.cells))
    )
    before, after, compared = (predict(images)[:, shortcut.target] for images in (receivers, pasted, control))
    up, differ = int((after > compared).sum()), int((after != compared).sum())
    p = float(binomtest(up, differ, alternative="greater").pvalue) if differ else 1.0
    return Transplant(len(receivers), float(before.mean()), float(after.mean()), float(compared.mean()), p)


def control_cells(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Return as many cells at the opposite place, or moved by nearly half of the image, whichever overlaps less with `cells`."""
    last = CELLS - 1
    opposite = tuple((last - row, last - column) for row, column in cells)
    moved = tuple((_moved(row, last / 2), _moved(column, last / 2)) for row, column in cells)

    def overlapping(others: Sequence[Cell]) -> int:
        return sum(abs(a - c) < 1 and abs(b - d) < 1 for a, b in others for c, d in cells)

    return min(opposite, moved, key=overlapping)


def _moved(place: float, distance: float) -> float:
    return place + distance if place <= distance else place - distance


def with_cells(image: Image, donor: Image, cells: Sequence[Cell]) -> Image:
    """Return a copy of the image with the cells of the donor, resized to those of the image."""
    changed = image.copy()
    for row, column in cells:
        rows, columns = _span(image.shape[0], row), _span(image.shape[1], column)
        from_rows, from_columns = _span(donor.shape[0], row), _span(donor.shape[1], column)
        changed[np.ix_(rows, columns)] = donor[
            np.ix_(_resized(from_rows, len(rows)), _resized(from_columns, len(columns)))
        ]
    return changed


def _span(side: int, cell: float) -> Ints:
    """Return the pixels of a cell along a side of `side` pixels; one at least."""
    start = min(int(side * cell) // CELLS, side - 1)
    return np.arange(start, max(int(side * (cell + 1)) // CELLS, start + 1))


def _resized(pixels: Ints, length: int) -> Ints:
    return pixels[np.arange(length) * len(pixels) // length]
