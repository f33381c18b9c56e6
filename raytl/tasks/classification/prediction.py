"""One photo's class and probabilities as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from raytl.tasks.judgement import Judgement


@dataclass(frozen=True)
class Prediction:
    """The answer for one photo: `probabilities` by class, in the order of the model's classes, sum to 1.

    `photo` is the path or URI; None for an image that was passed in memory.
    """

    probabilities: Mapping[str, float]
    photo: str | None = None
    judgement: Judgement | None = None
    """The operating points of the model for this photo; None if it was loaded without them."""

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

    @property
    def answered(self) -> bool | None:
        """True if the answer is sure enough for the aim that the model was loaded with; None without one."""
        return None if self.judgement is None else self.judgement.answered

    @property
    def set(self) -> tuple[str, ...] | None:
        """The classes of its prediction set, most often with the true one; None if the model was loaded without."""
        return None if self.judgement is None else self.judgement.set

    @property
    def unfamiliar(self) -> bool | None:
        """True if the photo is unlike those of training; None if the model was loaded without that limit."""
        return None if self.judgement is None else self.judgement.unfamiliar

    def __repr__(self) -> str:
        several = ", ".join(f"{name} {value:.3f}" for name, value in self.ranked[:3])
        more = len(self.ranked) - 3
        where = "" if self.photo is None else f", photo={self.photo!r}"
        return f"Prediction({several}{f', and {more} more' if more > 0 else ''}{where})"
