"""Decide whether the corners of boxes count from 0 or from 1.

Pascal VOC counts pixels from 1, and its corners are the first and the last pixel of an object; the others measure edges from 0.
Many tools write VOC files from 0, and some copy 1-based corners into other formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from raytl.data.annotations.annotated import Corners

Origin = Literal["auto", 0, 1]
_ENOUGH = 10
"""Boxes at pixel 1, and at the last one, that are no coincidence if none begins at 0."""


def looks_one_based(boxes: Sequence[tuple[Corners, tuple[int, int]]]) -> bool:
    """Return whether boxes, each with the (width, height) of its image, are 1-based: whole numbers that begin at 1 and never
    below, and that reach the last pixel and never beyond."""
    first = last = 0
    for (x_min, y_min, x_max, y_max), (width, height) in boxes:
        if min(x_min, y_min) < 1 or x_max > width or y_max > height or any(v % 1 for v in (x_min, y_min, x_max, y_max)):
            return False
        first += x_min == 1 or y_min == 1
        last += x_max == width or y_max == height
    return first >= _ENOUGH and last >= _ENOUGH


def voc_origin(boxes: Sequence[tuple[Corners, tuple[int, int]]]) -> tuple[Literal[0, 1], str]:
    """Return the origin of VOC corners and why: 1, as the format says, unless boxes prove otherwise."""
    below = sum(0 <= min(box[:2]) < 1 for box, _ in boxes)
    parts = sum(any(value % 1 for value in box) for box, _ in boxes)
    if below:
        return 0, f"{below} boxes begin at 0, so corners are read as edges counted from 0"
    if parts:
        return 0, f"{parts} boxes have corners between pixels, so corners are read as edges counted from 0"
    if looks_one_based(boxes):
        return 1, "corners are pixels counted from 1: boxes begin at 1 and reach the last pixel"
    return 1, "corners are read as pixels counted from 1, as Pascal VOC has them; no box proves or disproves it"
