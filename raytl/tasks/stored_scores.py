"""The parts that the stored reports of all tasks share, as types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from raytl.stored.bounds import Count, Score


@dataclass(frozen=True, slots=True)
class Bounds:
    """A score and its interval; JSON has null where it is undefined."""

    value: Score
    low: Score
    high: Score


@dataclass(frozen=True, slots=True)
class Method:
    """The method of the intervals."""

    resamples: Count
    method: Any = None
    level: Any = None


@dataclass(frozen=True, slots=True)
class Mistake:
    """A photo that was predicted as another class; `probability` is that of the predicted class."""

    key: str
    path: str
    true: str
    predicted: str
    probability: float
