"""Trace the outlines of a mask along the edges of its pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Outline = list[tuple[int, int]]
"""The corners (x, y) of a closed polygon along the edges of pixels; filled, it covers exactly the pixels that it encloses."""


def outlines(mask: NDArray[np.bool_]) -> list[Outline]:
    """Return a loop around every 4-connected piece and every hole of `mask (height, width)`."""
    following = _edges(np.pad(mask, 1))
    loops = []
    while following:
        start = next(iter(following))
        loop, point, heading = [], start, (0, 0)
        while point in following:
            after = _next(following, point, heading)
            step = (after[0] - point[0], after[1] - point[1])
            if step != heading:
                loop.append(point)
            point, heading = after, step
        loops.append(_straight(loop))
    return loops


def _edges(padded: NDArray[np.bool_]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Return the edges between a set and an unset pixel, by start; the set pixel lies to the right of its direction."""
    inside = padded[1:-1, 1:-1]
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    sides = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),  # above
        (padded[1:-1, 2:], (1, 0), (1, 1)),  # right
        (padded[2:, 1:-1], (1, 1), (0, 1)),  # below
        (padded[1:-1, :-2], (0, 1), (0, 0)),  # left
    )
    for neighbor, begin, end in sides:
        for y, x in np.argwhere(inside & ~neighbor).tolist():
            following.setdefault((x + begin[0], y + begin[1]), []).append((x + end[0], y + end[1]))
    return following


def _next(
    following: dict[tuple[int, int], list[tuple[int, int]]], point: tuple[int, int], heading: tuple[int, int]
) -> tuple[int, int]:
    """Take the next edge; where two pixels touch at a corner, turn right, which stays at the same pixel."""
    ends = following[point]
    right = (point[0] - heading[1], point[1] + heading[0])
    after = ends.pop(ends.index(right) if right in ends else 0)
    if not ends:
        del following[point]
    return after


def _straight(loop: Outline) -> Outline:
    """Drop the first corner if the loop runs straight through it."""
    (x0, y0), (x1, y1), (x2, y2) = loop[-1], loop[0], loop[1]
    return loop[1:] if (x1 - x0) * (y2 - y1) == (y1 - y0) * (x2 - x1) else loop
