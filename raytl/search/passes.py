"""The number of images that the steps of a sweep's trials pass through the network: those of other sources, and turned copies too."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from raytl.config.adapt import IN_TRAINING
from raytl.config.fixmatch import FIXMATCH
from raytl.config.schema import Experiment
from raytl.config.source_rules import STYLE
from raytl.config.space import Dimension, Space


@dataclass(frozen=True)
class Passes:
    """The images that pass through the network for each real labelled one: the `mean` of trials that draw the values of a space
    evenly, and the highest, `high`. `plain` is the fraction of trials that have labelled images alone, as they are, and `turned`
    that of trials with turned copies, in validation too."""

    mean: float
    high: float
    plain: float
    turned: float


@dataclass(frozen=True)
class _Drawn:
    """The images of a source that trials draw: the `mean` number for each labelled one, the highest, and the fraction `off` of the
    trials that draw none."""

    mean: float
    high: float
    off: float


def passes(experiment: Experiment, space: Space) -> Passes:
    """Return the images of the trials of `space`, whose dimensions are drawn independently of each other."""
    dimensions = {dimension.key: dimension for dimension in space.dimensions}

    def drawn(key: str, own: Any, of: Callable[[Any], float]) -> _Drawn:
        dimension = dimensions.get(key)
        even, ends = ((own,), (own,)) if dimension is None else (_even(dimension), _ends(dimension))
        values = [of(value) for value in even]
        return _Drawn(fmean(values), max(map(of, ends)), values.count(0) / len(values))

    data, few, adapt = experiment.data.synthetic, experiment.few, experiment.adapt
    synthetic = drawn("data.synthetic.share", data.share, lambda part: part / (1 - part) if data.uri else 0.0)
    guessed = drawn("few.method", few.method, lambda method: method == FIXMATCH)
    views = drawn("few.fixmatch.ratio", few.fixmatch.ratio, lambda ratio: 2 * ratio)  # weak and strong
    target = drawn("adapt.method", adapt.method, lambda method: method in IN_TRAINING)
    turned = drawn("auxiliary.rotation", experiment.auxiliary.rotation, lambda weight: weight > 0)
    styled = drawn(STYLE, adapt.style.probability, float)
    return Passes(
        (1 + synthetic.mean) * (1 + guessed.mean * views.mean + target.mean + turned.mean),
        (1 + synthetic.high) * (1 + guessed.high * views.high + target.high + turned.high),
        math.prod(each.off for each in (synthetic, guessed, target, turned, styled)),
        turned.mean,
    )


def _even(dimension: Dimension) -> tuple[Any, ...]:
    """Return the choices of a dimension, or the middles of the thirds of its range: the probability of its ends is zero."""
    return dimension.choices or tuple(
        dimension.low + (dimension.high - dimension.low) * place / 6 for place in (1, 3, 5)
    )


def _ends(dimension: Dimension) -> tuple[Any, ...]:
    return dimension.choices or (dimension.low, dimension.high)
