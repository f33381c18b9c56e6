"""Move a map from the network's view to the photo, and summarize it in a few numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.data.transforms import Preprocess, eval_placement, prepared_placement

Floats = NDArray[np.float64]
BORDER, CENTER = 0.1, 0.5
"""The width of the border, and the side of the center, as fractions of the view."""
_GRID = 40
"""Points along a side at which a map is summed; a multiple of 1 / BORDER and of 2 / CENTER."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A map in numbers, NaN without evidence for the class: its center of mass (`x`, `y`) as fractions of the photo's width and
    height, the shares of the evidence in the `border` and the `center` of the view, and the highest value (`peak`)."""

    x: float
    y: float
    border: float
    center: float
    peak: float


def evidence_for(values: NDArray[np.floating]) -> Floats:
    """Return a map without evidence against the class: negative and undefined values are 0."""
    return np.nan_to_num(np.maximum(np.asarray(values, np.float64), 0), nan=0, posinf=0)


def summary(values: Floats, size: tuple[int, int], preprocess: Preprocess) -> Summary:
    """Return the numbers of a map of evidence over the view of a photo of `size` (width, height).

    An even map has 36 % of its evidence in the border and 25 % in the center.
    """
    places = (np.arange(_GRID) + 0.5) / _GRID
    grid = _sampled(values, places, places)
    total, peak = float(grid.sum()), float(values.max(initial=0))
    if total <= 0:
        return Summary(math.nan, math.nan, math.nan, math.nan, peak)
    edge, start = round(BORDER * _GRID), round((1 - CENTER) / 2 * _GRID)
    inner, middle = grid[edge:-edge, edge:-edge], grid[start:-start, start:-start]
    x, y = _in_photo(grid @ places, grid.T @ places, total, size, preprocess)
    return Summary(x, y, 1 - float(inner.sum()) / total, float(middle.sum()) / total, peak)


def _in_photo(
    across: Floats, down: Floats, total: float, size: tuple[int, int], preprocess: Preprocess
) -> tuple[float, float]:
    """Return the center of mass in fractions of the photo."""
    height, width = preprocess.view_size
    center = np.array([across.sum() / total * width, down.sum() / total * height])
    back = eval_placement(*size, preprocess).inverse(size[::-1])
    x, y = np.clip(back.points(center) / size, 0, 1).tolist()
    return x, y


def on_canvas(
    values: Floats, size: tuple[int, int], canvas: tuple[int, int], preprocess: Preprocess
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the map at each pixel of a `canvas` (width, height) that shows the photo of `size`, and the pixels that the network
    sees, both `(height, width)`. The map is interpolated between the centers of its cells, and 0 where it sees nothing."""
    (a, _, c), (_, e, f) = eval_placement(*size, preprocess).matrix
    prepared = prepared_placement(*size, preprocess).size
    visible = tuple(min(side, whole) for side, whole in zip(prepared, preprocess.view_size, strict=True))
    x = a * (np.arange(canvas[0]) + 0.5) * size[0] / canvas[0] + c
    y = e * (np.arange(canvas[1]) + 0.5) * size[1] / canvas[1] + f
    height, width = preprocess.view_size
    top, left = (
        (side - part) // 2 if preprocess.frame is None else 0
        for side, part in zip((height, width), visible, strict=True)
    )
    rows, columns = (y >= top) & (y <= top + visible[0]), (x >= left) & (x <= left + visible[1])
    seen = rows[:, None] & columns[None, :]
    return np.where(seen, _sampled(values, y / height, x / width), 0.0), seen


def _sampled(values: Floats, y: Floats, x: Floats) -> Floats:
    """Return a map at `y` and `x` in [0, 1] by bilinear interpolation, `(len(y), len(x))`."""
    return np.asarray(_weights(y, values.shape[0]) @ values @ _weights(x, values.shape[1]).T)


def _weights(places: Floats, cells: int) -> Floats:
    """Return the weight of each cell at each place, `(places, cells)`; each row adds up to 1."""
    at = np.clip(places * cells - 0.5, 0, cells - 1)
    return np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(cells)))
