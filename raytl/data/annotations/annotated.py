"""Represent the objects of an image as their annotation has them, before they are checked against the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Corners = tuple[float, float, float, float]
"""x_min, y_min, x_max and y_max in pixels."""


@dataclass(frozen=True, slots=True)
class Runs:
    """A mask as compressed run lengths of an image of `width` x `height`."""

    counts: str
    width: int
    height: int


Outline = tuple[tuple[float, ...], ...] | Runs
"""Polygons, each `x, y, x, y, ...` in pixels, that together are one object; or run lengths."""


@dataclass(frozen=True, slots=True)
class AnnotatedObject:
    """One object: its class, its `place` in the annotation file, and its box, its outline or both."""

    label: str
    place: str
    box: Corners | None = None
    outline: Outline | None = None
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """An image and its objects; `size` is the (width, height) that the annotation states, if it does."""

    key: str
    path: str
    place: str
    objects: Sequence[AnnotatedObject]
    split: str | None = None
    size: tuple[int, int] | None = None
