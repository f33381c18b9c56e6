"""Decide that a sweep has gained what its validation split can show: arithmetic on the scores of its trials.

The best scores of n trials are modeled as draws from a distribution with an exponential tail. By Rényi (1953), the spacings
i * (X_i - X_(i+1)) of its upper order statistics are independent and have the mean of the tail's scale, and m more draws
raise the expected maximum by scale * ln((n + m) / n). As in Makarova et al. (2022), a sweep ends when that gain is at most
the standard error of the validation score: so small a gain may as well be luck. Their bound on the gain, by a
Gaussian process, is far from the gain with 10 to 60 trials of which most are pruned (experiments/LOG.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from raytl.stored.bounds import Score, within

MIN_TRIALS = 10
"""The fewest scored trials after which a sweep may stop: as many as the sampler needs before it learns from scores."""
_SPACINGS = 4
_UPPER = 2.296
"""Four spacings times this: the upper 90 % bound of the scale, as their sum has a gamma distribution."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The end of a sweep after `ended` scored trials: the `remaining` ones gain at most `gain`, and `noise` is more."""

    ended: Annotated[int, within(0, 10**6)]
    remaining: Annotated[int, within(0, 10**6)]
    gain: Score
    noise: Score

    @property
    def reason(self) -> str:
        """Return the decision in words."""
        return (
            f"the sweep stops after {self.ended} scored trials: the other {self.remaining} are expected to gain at most "
            f"{self.gain:.4f}, and the standard error of the validation score is {self.noise:.4f}"
        )


def gain_bound(scores: Sequence[float], remaining: int) -> float:
    """Return the upper 90 % bound of the expected gain of `remaining` more trials; higher `scores` are better."""
    top = sorted(scores, reverse=True)[: _SPACINGS + 1]
    spacings = [rank * (better - worse) for rank, (better, worse) in enumerate(pairwise(top), 1)]
    scale = _UPPER * sum(spacings) / len(spacings)
    return scale * math.log((len(scores) + remaining) / len(scores))


def decision(scores: Sequence[float], remaining: int, noise: float) -> Stop | None:
    """Return the end of a sweep with these `scores`, of which higher ones are better; None if it should continue."""
    if len(scores) < MIN_TRIALS or remaining < 1:
        return None
    gain = gain_bound(scores, remaining)
    return Stop(len(scores), remaining, gain, noise) if gain <= noise else None
