"""One photo's class and probabilities as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Prediction:
    """The answer for one photo: `probabilities` by class, in the order of the model's classes, sum to 1.

    `photo` is the path or URI; None for an image that was passed in memory.
    """

    probabilities: Mapping[str, float]
    photo: str | None = None

    @property
    def label(self) -> str:
        """The most probable class; ties go to the first."""
        return self.ranked[0][0]

    @property
    def probability(self) -> float:
        """The probability of `label`."""
        return self.ranked[0][1]

    @cached_property
    def ranked(self) -> tuple[tuple[str, float], ...]:
        """Pairs of class and probability, the most probable first."""
        return tuple(sorted(self.probabilities.items(), key=lambda pair: -pair[1]))

    def __repr__(self) -> str:
        several = ", ".join(f"{name} {value:.3f}" for name, value in self.ranked[:3])
        more = len(self.ranked) - 3
        where = "" if self.photo is None else f", photo={self.photo!r}"
        return f"Prediction({several}{f', and {more} more' if more > 0 else ''}{where})"
