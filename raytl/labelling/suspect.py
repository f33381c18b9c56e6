"""A label that may be wrong, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SuspectLabel:
    """An image (`key` under the root of the data) whose label may be wrong; see `raytl.metrics.suspects.Suspect`."""

    key: str
    given: str
    suggested: str
    probability: float
    margin: float
    split: str = "train"
