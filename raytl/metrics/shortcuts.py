"""Find artifacts that give a class away: the same patch at the same place in most images of one class, such as a logo.

An image is divided into cells, by four grids that are shifted by half a cell. How near a cell is to the typical patch of a class
separates that class from the rest by an AUC. A cell is reported if its AUC stands out from those around it, and if most images of
the class and far fewer others show that patch. An artifact of the size of a cell fills more than half of a cell of one of the
grids, wherever it is. Where many cells tell the class, as in centered digits, none stands out, and nothing is found.
`experiments.simulations` has the false alarms on clean sets, and the squares that are found.
"""

from __future__ import annotations

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
_SHIFTS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Half cells by which grids are shifted, down and to the right."""
_LIMIT = 400
"""Images of the class and of the others that are compared; of more, a sample."""
_NEIGHBORHOODS = (3, 5)
Cell = tuple[float, float]
"""Row and column of a cell, from the upper left corner; 1.5 is the cell half in the second and half in the third row."""


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


def find_shortcuts(thumbnails: NDArray[np.uint8], targets: Ints, classes: int) -> tuple[Shortcut, ...]:
    """Return the classes with an artifact, the clearest first.

    `thumbnails (n, height, width, 3)` show whole images; width and height are multiples of `CELLS`. `targets (n,)` are class numbers.
    """
    counts = np.bincount(targets, minlength=classes)
    numbers = [k for k in range(classes) if MIN_IMAGES <= counts[k] < len(targets)]
    rng = np.random.default_rng(0)
    result: list[Shortcut] = []
    for number in numbers:
        own, other = (_some(np.flatnonzero(part), rng) for part in (targets == number, targets != number))
        inside = np.arange(len(own) + len(other)) < len(own)
        if shortcut := _of_class(thumbnails[np.concatenate([own, other])], inside, number):
            result.append(shortcut)
    return tuple(sorted(result, key=lambda each: -each.z))


def _some(places: Ints, rng: np.random.Generator) -> Ints:
    """Return the places, or a sample of many."""
    return places if len(places) <= _LIMIT else rng.choice(places, _LIMIT, replace=False)


def _of_class(images: NDArray[np.uint8], inside: NDArray[np.bool_], number: int) -> Shortcut | None:
    """Return the shortcut of the images that are `inside`, from the grid whose cell shows most of it."""
    by_grid = [each for shift in _SHIFTS if (each := _in_grid(images, inside, number, shift))]
    return max(by_grid, key=lambda each: each[1])[0] if by_grid else None


def _in_grid(
    images: NDArray[np.uint8], inside: NDArray[np.bool_], number: int, shift: tuple[int, int]
) -> tuple[Shortcut, float] | None:
    """Return the shortcut in the cells of one grid, and the part of its cell that shows it; None if none stands out."""
    patches = _patches(images, *shift).astype(np.float32)
    difference = np.abs(patches - np.median(patches[inside], axis=0))
    values = difference.shape[-1]
    alike = [difference <= limit for limit in _NEAR]
    if alike[0][inside].mean(axis=(0, 3)).max() < MIN_FRACTION / 2:  # not half of any patch in enough images
        return None
    quarter = np.partition(difference, values // 4, axis=-1)[..., values // 4]
    aucs = _aucs(-quarter, inside)  # an artifact seldom fills a cell
    z = _outliers(aucs, _standard_error(inside))
    near = [each.sum(axis=-1) > values // 2 for each in alike]
    fractions, others = (np.stack([each[part].mean(axis=0) for each in near]) for part in (inside, ~inside))
    excess = (fractions - others).min(axis=0)
    z = np.where((excess >= MIN_EXCESS) & (fractions[0] >= MIN_FRACTION), z, 0.0)
    row, column = (int(each) for each in np.unravel_index(z.argmax(), z.shape))
    if z[row, column] < MIN_Z:
        return None
    coverage = float(alike[0][inside, row, column].mean())
    shortcut = Shortcut(
        target=number,
        cell=_cell(row, column, shift),
        cells=tuple(_cell(i, j, shift) for i, j in np.argwhere(z >= MIN_Z).tolist()),
        z=float(z[row, column]),
        auc=float(aucs[row, column]),
        fraction=float(fractions[-1, row, column]),
        other_fraction=float(others[-1, row, column]),
    )
    return shortcut, coverage


def _cell(row: int, column: int, shift: tuple[int, int]) -> Cell:
    return row + shift[0] / 2, column + shift[1] / 2


def _patches(images: NDArray[np.uint8], down: int, across: int) -> NDArray[np.uint8]:
    """Return the pixels of each cell of the grid that is shifted by so many half cells, `(n, rows, columns, values)`."""
    n, height, width, _ = images.shape
    high, wide = height // CELLS, width // CELLS
    assert height % CELLS == 0 and width % CELLS == 0, "a size that divides into cells"
    top, left, rows, columns = down * high // 2, across * wide // 2, CELLS - down, CELLS - across
    grid = images[:, top : top + rows * high, left : left + columns * wide]
    cells = grid.reshape(n, rows, high, columns, wide, 3).transpose(0, 1, 3, 2, 4, 5)
    return cells.reshape(n, rows, columns, high * wide * 3)


def _aucs(scores: NDArray[np.float32], inside: NDArray[np.bool_]) -> Floats:
    """Return the probability that a score inside is above one outside, for each cell, `(rows, columns)`."""
    from scipy.stats import rankdata  # takes most of a second to import

    own, other = int(inside.sum()), int((~inside).sum())
    ranks = rankdata(scores, axis=0)[inside].sum(axis=0)
    return np.asarray((ranks - own * (own + 1) / 2) / (own * other))


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
