"""Map one picture's pixels to another's by an affine map, and move boxes and masks by it.

Coordinates are those of `raytl.data.targets`: pixel corners at integers, x to the right, y down. So a resize maps the
corners of a picture to the corners of the other, and the center of pixel (0, 0) is (0.5, 0.5).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Row = tuple[float, float, float]
Size = tuple[int, int]
"""Height and width in pixels."""
_Window = tuple[int, int, int, int]
"""Top, left, bottom and right of a part of the view."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The map from a picture to a view of `size` (height, width): `x' = a x + b y + c`, `y' = d x + e y + f` with the rows
    `(a, b, c)` and `(d, e, f)` of `matrix`."""

    matrix: tuple[Row, Row]
    size: Size

    def then(self, other: Placement) -> Placement:
        """Return the map from this one's picture to the view of `other`, whose picture is this one's view."""
        (a, b, c), (d, e, f) = self.matrix
        rows = [(p * a + q * d, p * b + q * e, p * c + q * f + r) for p, q, r in other.matrix]
        return Placement((rows[0], rows[1]), other.size)

    def inverse(self, size: Size) -> Placement:
        """Return the map from the view back to the picture, which has this `size`."""
        (a, b, c), (d, e, f) = self.matrix
        det = a * e - b * d
        p, q, r, s = e / det, -b / det, -d / det, a / det
        return Placement(((p, q, -(p * c + q * f)), (r, s, -(r * c + s * f))), size)

    @property
    def is_aligned(self) -> bool:
        """Return True if the edges of a box stay horizontal and vertical: no rotation but by multiples of 90 degrees."""
        (a, b, _), (d, e, _) = self.matrix
        return (b == 0 and d == 0) or (a == 0 and e == 0)

    @property
    def scale(self) -> float:
        """Return the area in the view of one square pixel of the picture."""
        (a, b, _), (d, e, _) = self.matrix
        return abs(a * e - b * d)

    def points(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return where the points `(..., 2)` (x, y) are in the view; they may lie outside."""
        matrix = np.array(self.matrix)
        moved: NDArray[np.float64] = np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]
        return moved

    def envelopes(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the smallest upright boxes around `boxes (n, 4)` in the view; they may extend beyond it."""
        corners = self.points(np.asarray(boxes, np.float64).reshape(-1, 4)[:, [[0, 1], [2, 1], [2, 3], [0, 3]]])
        return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)

    def boxes(self, boxes: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return `boxes (n, 4)` (x_min, y_min, x_max, y_max) in the view, clipped to it, and the visible fraction of each.

        A rotated box becomes its envelope. The fraction is that of the envelope's area; 0 for a box without area.
        """
        whole = self.envelopes(boxes)
        clipped = whole.clip(0, [self.size[1], self.size[0]] * 2)
        area = _areas(whole)
        return clipped, np.divide(_areas(clipped), area, out=np.zeros_like(area), where=area > 0)

    def mask(self, mask: NDArray[np.integer], fill: int) -> NDArray[np.integer]:
        """Return the mask `(h, w)` in the view, of the same type, by the nearest pixel; `fill` is outside of the picture."""
        return self._part(mask, (0, 0), (0, 0, *self.size), fill)

    def stack(self, masks: Iterable[NDArray[Any]], boxes: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the masks of objects in the view, `(n, height, width) uint8`.

        `masks` are cropped to `boxes (n, 4)`, which have whole corners; they may be decoded one at a time.
        """
        view = np.zeros((len(boxes), *self.size), dtype=np.uint8)
        for layer, mask, part, box in zip(view, masks, self._windows(boxes), boxes, strict=True):
            layer[part[0] : part[2], part[1] : part[3]] = self._part(mask, (box[1], box[0]), part, 0)
        return view

    def paint(self, view: NDArray[np.integer], mask: NDArray[Any], box: tuple[int, int, int, int], value: int) -> None:
        """Set the pixels of `view` that an object covers to `value`; its mask is cropped to `box`."""
        (part,) = self._windows(np.array([box]))
        view[part[0] : part[2], part[1] : part[3]][self._part(mask, (box[1], box[0]), part, 0) > 0] = value

    def _windows(self, boxes: NDArray[Any]) -> list[_Window]:
        """Return the pixels of the view that the boxes can touch."""
        x0, y0, x1, y1 = self.boxes(boxes)[0].T
        low, high = (np.floor([y0, x0]), np.ceil([y1, x1]))
        return [(int(t), int(le), int(b), int(r)) for t, le, b, r in zip(*low, *high, strict=True)]

    def _part(self, mask: NDArray[Any], corner: tuple[float, float], window: _Window, fill: int) -> NDArray[Any]:
        """Return the pixels of a mask, whose upper left `corner` is at (y, x), in the `window` of the view, and `fill` outside."""
        y0, x0, y1, x1 = window
        (a, b, c), (d, e, f) = self.inverse((mask.shape[0], mask.shape[1])).matrix
        c, f = c - corner[1], f - corner[0]
        x: NDArray[np.float64] = np.arange(x0, x1, dtype=np.float64) + 0.5
        y: NDArray[np.float64] = np.arange(y0, y1, dtype=np.float64) + 0.5
        part = np.full((len(y), len(x)), fill, dtype=mask.dtype)
        if b == 0 and d == 0:
            _copy_grid(mask, part, e * y + f, a * x + c)
        elif a == 0 and e == 0:  # a quarter turn: rows of the view are columns of the mask
            _copy_grid(mask.T, part, b * y + c, d * x + f)
        else:
            _copy_points(mask, part, d * x + (e * y + f)[:, None], a * x + (b * y + c)[:, None])
        return part


def scaling(size: Size, to: Size) -> Placement:
    """Return the resize of a picture of `size` (height, width) to the size `to`."""
    return Placement(((to[1] / size[1], 0.0, 0.0), (0.0, to[0] / size[0], 0.0)), to)


def shift(x: float, y: float, size: Size) -> Placement:
    """Return the move by `x` and `y` pixels into a view of `size`; negative values crop at the left and the top."""
    return Placement(((1.0, 0.0, x), (0.0, 1.0, y)), size)


def flips(size: Size, *, horizontal: bool, vertical: bool) -> Placement:
    """Return the flips of a picture of `size`."""
    height, width = size
    return Placement(
        (
            (-1.0, 0.0, float(width)) if horizontal else (1.0, 0.0, 0.0),
            (0.0, -1.0, float(height)) if vertical else (0.0, 1.0, 0.0),
        ),
        size,
    )


def quarter_turns(size: Size, turns: int) -> Placement:
    """Return `turns` counterclockwise quarter turns of a picture of `size`, as `np.rot90`."""
    placement = shift(0, 0, size)
    for _ in range(turns % 4):
        height, width = placement.size
        turn = Placement(((0.0, 1.0, 0.0), (-1.0, 0.0, float(width))), (width, height))
        placement = placement.then(turn)
    return placement


def window(center: tuple[float, float], half: tuple[float, float], angle: float, size: Size) -> Placement:
    """Return the view of `size` onto a rectangle with this center (y, x) and half (height, width), rotated by `angle`
    (radians, clockwise on the screen)."""
    (y, x), (half_h, half_w) = center, half
    cos, sin = math.cos(angle), math.sin(angle)
    across, down = 2 * half_w / size[1], 2 * half_h / size[0]  # pixels of the picture for one of the view
    a, b, d, e = across * cos, -down * sin, across * sin, down * cos
    middle_x, middle_y = size[1] / 2, size[0] / 2
    back = Placement(((a, b, x - a * middle_x - b * middle_y), (d, e, y - d * middle_x - e * middle_y)), size)
    return back.inverse(size)


def upright(orientation: int, size: Size) -> Placement:
    """Return the map from a stored picture of `size` (height, width) to the upright one, for its EXIF orientation 1 to 8."""
    mirrored = orientation in (2, 4, 5, 7)
    turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return flips(size, horizontal=mirrored, vertical=False).then(quarter_turns(size, turns))


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    areas: NDArray[np.float64] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas


def _copy_grid(mask: NDArray[Any], view: NDArray[np.integer], y: NDArray[np.float64], x: NDArray[np.float64]) -> None:
    """Copy the pixels in the rows at `y` and the columns at `x`; those outside of the mask are left as they are."""
    rows, columns = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    (t, b), (le, r) = _inside(rows, mask.shape[0]), _inside(columns, mask.shape[1])
    view[t:b, le:r] = mask[rows[t:b, None], columns[None, le:r]]


def _inside(indices: NDArray[np.int64], length: int) -> tuple[int, int]:
    """Return the first and the last + 1 of monotonic `indices` that are in `range(length)`."""
    good = np.flatnonzero((indices >= 0) & (indices < length))
    return (int(good[0]), int(good[-1]) + 1) if len(good) else (0, 0)


def _copy_points(mask: NDArray[Any], view: NDArray[np.integer], y: NDArray[np.float64], x: NDArray[np.float64]) -> None:
    """Copy the pixels at `y` and `x`, of the shape of the view; those outside of the mask are left as they are."""
    rows, columns = np.floor(y).astype(np.int32), np.floor(x).astype(np.int32)
    good = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    view[good] = mask[rows[good], columns[good]]
