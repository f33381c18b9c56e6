"""The points of a finite space. Pure, without Optuna, whose grid repeats points that differ only in a key whose condition does
not hold, and does not count points that were suggested otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from raytl.config.space import Dimension, Space

_Values = Mapping[str, Any]
PointKey = frozenset[tuple[str, Any]]
"""A point of a space, to compare and to look up: its values by dotted key. 0 and 0.0 are one value."""


def point_key(values: _Values) -> PointKey:
    """Return the point with these values by dotted key."""
    return frozenset(values.items())


def continuous_keys(space: Space) -> list[str]:
    """Return the keys with infinitely many values, with which a space has no grid."""
    return [dimension.key for dimension in space.dimensions if dimension.kind in ("float", "log")]


def grid_points(space: Space, base: _Values, seed: int) -> tuple[PointKey, ...]:
    """Return every point of `space` once, in an order that follows from `seed`."""
    points = [*dict.fromkeys(point_key(values) for values in _extended(space, base, {}))]
    Random(seed).shuffle(points)  # noqa: S311 - orders points
    return tuple(points)


def _extended(space: Space, base: _Values, values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the points that have these first `values`."""
    following = next((each for each in space.active(values, base) if each.key not in values), None)
    if following is None:
        yield values
        return
    for value in _values_of(following):
        yield from _extended(space, base, {**values, following.key: value})


def _values_of(dimension: Dimension) -> tuple[Any, ...]:
    return dimension.choices or tuple(range(int(dimension.low), int(dimension.high) + 1))
