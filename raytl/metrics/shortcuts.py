"""Find artifacts that give a class away: the same patch at the same place in most images of one class, such as a logo.

An image is divided into cells. How near a cell is to the typical patch of a class separates that class from the rest by an AUC.
A cell is reported if its AUC stands out from those around it, and if most images of the class and far fewer others show that patch.
Measured on drawn photos and on photos of trash, insects and hands: a white square in 90 % of one class, across the borders of
cells, has z from 6.2 to 7.8 at one of its cells, no cell of 15 clean sets more than 2.3. Where many cells tell the class, as in
centered digits, none stands out, and nothing is found. An artifact must fill half of a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Floats, Ints

CELLS = 8
"""Cells along the width and along the height of an image."""
MIN_Z = 5.0
MIN_FRACTION = 0.8
"""The fraction of images of the class that must show the patch, within the stricter limit of `_NEAR`."""
MIN_EXCESS = 0.5
"""The fraction of images that show the patch must be this much higher in the class than in the others."""
MIN_IMAGES = 10
"""Classes with fewer images are not searched."""
_NEAR = (8, 24)
"""Half of the pixels of a patch differ from the typical one by at most this much, of 255; the less clear of both counts."""
_LIMIT = 1000
"""Images of the class and of the others that are compared; of more, a sample."""
_NEIGHBORHOODS = (3, 5)
_MOVED = 0.05
_LEVEL = 0.05
Image = NDArray[np.uint8]
"""An RGB image, `(height, width, 3) uint8`."""
Cell = tuple[int, int]
"""Row and column of a cell, from the upper left corner."""
Predict = Callable[[Sequence[Image]], Floats]
"""The probabilities of a model for images, `(n, classes)`."""


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A class whose images show the same patch: `cell` has the highest `z`, `cells` are all that stand out.

    `fraction` and `other_fraction` are the fractions of images of the class and of the others with this patch, `auc` is how well it
    separates them.
    """

    target: int
    cell: Cell
    cells: tuple[Cell, ...]
    z: float
    auc: float
    fraction: float
    other_fraction: float


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


def find_shortcuts(thumbnails: NDArray[np.uint8], targets: Ints, classes: int) -> tuple[Shortcut, ...]:
    """Return the classes with an artifact, the clearest first.

    `thumbnails (n, height, width, 3)` show whole images; width and height are multiples of `CELLS`. `targets (n,)` are class numbers.
    """
    patches = _patches(thumbnails)
    counts = np.bincount(targets, minlength=classes)
    numbers = [k for k in range(classes) if MIN_IMAGES <= counts[k] < len(targets)]
    rng = np.random.default_rng(0)
    result = []
    for number in numbers:
        own, other = (_some(np.flatnonzero(part), rng) for part in (targets == number, targets != number))
        inside = np.arange(len(own) + len(other)) < len(own)
        if shortcut := _of_class(patches[np.concatenate([own, other])].astype(np.float32), inside, number):
            result.append(shortcut)
    return tuple(sorted(result, key=lambda each: -each.z))


def _some(places: Ints, rng: np.random.Generator) -> Ints:
    """Return the places, or a sample of many."""
    return places if len(places) <= _LIMIT else rng.choice(places, _LIMIT, replace=False)


def _of_class(patches: NDArray[np.float32], inside: NDArray[np.bool_], number: int) -> Shortcut | None:
    difference = np.abs(patches - np.median(patches[inside], axis=0))
    values = difference.shape[-1]
    ordered = np.partition(difference, (values // 4, values // 2), axis=-1)
    aucs = _aucs(-ordered[..., values // 4], inside)  # an artifact seldom fills a cell
    z = _outliers(aucs, _standard_error(inside))
    near = [ordered[..., values // 2] <= limit for limit in _NEAR]
    fractions, others = (np.stack([each[part].mean(axis=0) for each in near]) for part in (inside, ~inside))
    excess = (fractions - others).min(axis=0).reshape(CELLS, CELLS)
    is_shown = (excess >= MIN_EXCESS) & (fractions[0] >= MIN_FRACTION).reshape(CELLS, CELLS)
    z = np.where(is_shown, z, 0.0)
    place = int(z.argmax())
    if z.flat[place] < MIN_Z:
        return None
    cells = tuple((int(row), int(column)) for row, column in np.argwhere(z >= MIN_Z))
    fraction, other = float(fractions[-1, place]), float(others[-1, place])
    return Shortcut(number, divmod(place, CELLS), cells, float(z.flat[place]), float(aucs.flat[place]), fraction, other)


def _patches(thumbnails: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the pixels of each cell, `(n, cells, values)`."""
    n, height, width, _ = thumbnails.shape
    assert height % CELLS == 0 and width % CELLS == 0, "a size that divides into cells"
    grid = thumbnails.reshape(n, CELLS, height // CELLS, CELLS, width // CELLS, 3)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(n, CELLS * CELLS, -1)


def _aucs(scores: NDArray[np.float32], inside: NDArray[np.bool_]) -> Floats:
    """Return the probability that a score inside is above one outside, for each cell, `(CELLS, CELLS)`."""
    from scipy.stats import rankdata  # takes most of a second to import

    own, other = int(inside.sum()), int((~inside).sum())
    ranks = rankdata(scores, axis=0)[inside].sum(axis=0)
    return np.asarray((ranks - own * (own + 1) / 2) / (own * other)).reshape(CELLS, CELLS)


def _standard_error(inside: NDArray[np.bool_]) -> float:
    """Return the standard deviation of the AUC of scores that say nothing."""
    n, own = len(inside), int(inside.sum())
    return float(np.sqrt((n + 1) / (12 * own * (n - own))))


def _outliers(aucs: Floats, floor: float) -> Floats:
    """Return how far each cell is above the median of its neighborhood, in robust standard deviations of at least `floor`.

    The larger of two neighborhoods shows an artifact of several cells.
    """
    from scipy.ndimage import median_filter

    scores = []
    for size in _NEIGHBORHOODS:
        local = aucs - median_filter(aucs, size=size, mode="mirror")
        deviation = 1.4826 * np.median(np.abs(local - np.median(local)))
        scores.append((local - np.median(local)) / max(deviation, floor))
    return np.asarray(np.max(scores, axis=0))


def transplant(
    shortcut: Shortcut, receivers: Sequence[Image], donors: Sequence[Image], predict: Predict, seed: int = 0
) -> Transplant:
    """Measure how the patch of a shortcut moves a model's answers when it is pasted from `donors` into other classes' images.

    The cells between the shortcut and its mirror image are the control: the same images give the patch at the opposite place.
    """
    from scipy.stats import binomtest

    assert receivers and donors, "images of the class and of others"
    chosen = np.random.default_rng(seed).integers(0, len(donors), len(receivers))
    other = tuple((CELLS - 1 - row, CELLS - 1 - column) for row, column in shortcut.cells)
    pasted, control = (
        [with_cells(image, donors[i], cells) for image, i in zip(receivers, chosen, strict=True)]
        for cells in (shortcut.cells, other)
    )
    before, after, compared = (predict(images)[:, shortcut.target] for images in (receivers, pasted, control))
    up, differ = int((after > compared).sum()), int((after != compared).sum())
    p = float(binomtest(up, differ, alternative="greater").pvalue) if differ else 1.0
    return Transplant(len(receivers), float(before.mean()), float(after.mean()), float(compared.mean()), p)


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


def _span(side: int, cell: int) -> Ints:
    """Return the pixels of a cell along a side of `side` pixels; one at least."""
    start = min(side * cell // CELLS, side - 1)
    return np.arange(start, max(side * (cell + 1) // CELLS, start + 1))


def _resized(pixels: Ints, length: int) -> Ints:
    return pixels[np.arange(length) * len(pixels) // length]
