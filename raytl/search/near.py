"""Points near where sweeps of small sets usually end: the experiment as it is. Pure.

Of the trials of a short sweep most are drawn before a sampler has enough scores to model them. Drawn uniformly from the whole
space, hardly one is better than the first recipes; near the experiment's values, which `recipe: auto` measured or a person
set, every second or third sweep has one that is (experiments/LOG.md has the figures). One draw in `UNIFORM_EVERY` is uniform
all the same, as those values may be wrong. The idea is that of a prior over the location of the optimum (Hvarfner et al. 2022).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any

from raytl.config.space import Dimension, Space

FACTOR = 3.0
"""One standard deviation of a key that is searched by its logarithm, as a factor."""
FRACTION = 0.25
"""The most that other numbers differ from the center, as a fraction of the dimension's length."""
UNIFORM_EVERY = 4
_DRAWS = 100


def nearby(space: Space, base: Mapping[str, Any], center: Mapping[str, Any], number: int, seed: int) -> dict[str, Any]:
    """Return the point of `space` for trial `number`: near `center`, or anywhere for one trial in `UNIFORM_EVERY`.

    A key without a center is drawn from its whole dimension. The draw follows from `seed`.
    """
    random, is_near = Random(seed), number % UNIFORM_EVERY != UNIFORM_EVERY - 1  # noqa: S311 - draws points
    values: dict[str, Any] = {}
    for dimension in space.active(values, base):
        middle = center.get(dimension.key) if is_near else None
        values[dimension.key] = _anywhere(dimension, random) if middle is None else _near(dimension, middle, random)
    return values


def _anywhere(dimension: Dimension, random: Random) -> Any:
    if dimension.kind == "choice":
        return random.choice(dimension.choices)
    if dimension.kind == "int":
        return random.randint(int(dimension.low), int(dimension.high))
    if dimension.kind == "log":
        return _within(dimension, math.exp(random.uniform(math.log(dimension.low), math.log(dimension.high))))
    return random.uniform(dimension.low, dimension.high)


def _near(dimension: Dimension, middle: Any, random: Random) -> Any:
    if dimension.kind == "choice":
        return random.choice(_neighbors(dimension.choices, middle))
    if dimension.kind == "log":
        draws = (middle * math.exp(random.gauss(0.0, math.log(FACTOR))) for _ in range(_DRAWS))
        return next((draw for draw in draws if dimension.low <= draw <= dimension.high), middle)
    width = FRACTION * (dimension.high - dimension.low)
    if dimension.kind == "int":
        width = max(1, round(width))
        return random.randint(int(max(dimension.low, middle - width)), int(min(dimension.high, middle + width)))
    return random.uniform(max(dimension.low, middle - width), min(dimension.high, middle + width))


def _neighbors(choices: tuple[Any, ...], middle: Any) -> tuple[Any, ...]:
    """Return `middle` and the next numbers below and above it; of words, all: they have no order."""
    if not all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in choices):
        return choices
    ordered = sorted(choices)
    at = ordered.index(middle)
    return tuple(ordered[max(0, at - 1) : at + 2])


def _within(dimension: Dimension, value: float) -> float:
    return min(max(value, dimension.low), dimension.high)
