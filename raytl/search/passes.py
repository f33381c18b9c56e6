"""The number of images that the steps of a sweep's trials pass through the network: those of other sources, and turned copies too."""

from __future__ import annotations

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


def passes(experiment: Experiment, space: Space) -> Passes:
    """Return the images of the trials of `space`, whose dimensions are drawn independently of each other."""
    drawn = {dimension.key: _values(dimension) for dimension in space.dimensions}

    def values(key: str, own: Any, of: Callable[[Any], float]) -> list[float]:
        return [of(value) for value in drawn.get(key, (own,))]

    data, few, adapt = experiment.data.synthetic, experiment.few, experiment.adapt
    synthetic = values("data.synthetic.share", data.share, lambda part: part / (1 - part) if data.uri else 0.0)
    guessed = values("few.method", few.method, lambda method: method == FIXMATCH)
    views = values("few.fixmatch.ratio", few.fixmatch.ratio, lambda ratio: 2 * ratio)  # weak and strong
    target = values("adapt.method", adapt.method, lambda method: method in IN_TRAINING)
    turned = values("auxiliary.rotation", experiment.auxiliary.rotation, lambda weight: weight > 0)
    styled = values(STYLE, adapt.style.probability, float)
    labelled = [1 + each for each in synthetic]
    plain = 1.0
    for each in (synthetic, guessed, target, turned, styled):
        plain *= each.count(0) / len(each)
    return Passes(
        fmean(labelled) * (1 + fmean(guessed) * fmean(views) + fmean(target) + fmean(turned)),
        max(labelled) * (1 + max(guessed) * max(views) + max(target) + max(turned)),
        plain,
        fmean(turned),
    )


def _values(dimension: Dimension) -> tuple[Any, ...]:
    """Return the choices of a dimension, or its lowest, middle and highest value."""
    return dimension.choices or (dimension.low, (dimension.low + dimension.high) / 2, dimension.high)
