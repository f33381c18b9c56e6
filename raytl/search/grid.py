"""The points of a finite space. Pure, without Optuna, whose grid repeats points that differ only in a key whose condition does
not hold, and does not count points that were suggested otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from random import Random
from typing import Any

from raytl.config.space import Dimension, Space
from raytl.errors import ConfigError

GRIDS = ("GridSampler", "BruteForceSampler")
"""Optuna's samplers of every point of a finite space, of which raytl makes the same grid."""
MOST_POINTS = 1_000_000
"""Points of a grid at most: they take about a gigabyte of memory."""
_Values = Mapping[str, Any]
PointKey = frozenset[tuple[str, Any]]
"""A point of a space, to compare and to look up: its values by dotted key. 0 and 0.0 are one value."""


def point_key(values: _Values) -> PointKey:
    """Return the point with these values by dotted key."""
    return frozenset(values.items())


def is_grid(sampler: str) -> bool:
    """Return True if the `sampler` of that name suggests every point of a finite space, whatever the scores."""
    return sampler.lower() == "grid" or sampler in GRIDS


def continuous_keys(space: Space) -> list[str]:
    """Return the keys with infinitely many values, with which a space has no grid."""
    return [dimension.key for dimension in space.dimensions if dimension.kind in ("float", "log")]


def grid_points(space: Space, base: _Values, seed: int) -> tuple[PointKey, ...]:
    """Return every point of `space` once, in an order that follows from `seed`.

    Raises:
        ConfigError: they are more than `MOST_POINTS`.
    """
    points = [*dict.fromkeys(map(point_key, islice(_extended(space, base, {}), MOST_POINTS + 1)))]
    if len(points) > MOST_POINTS:
        raise ConfigError(
            f"search.sampler: the space is a grid of more than {MOST_POINTS:,} points; use fewer choices in search.space, or "
            "the sampler tpe or random"
        )
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
