"""What every contender of the sweep bench has in common."""

from __future__ import annotations

from dataclasses import dataclass

METRIC = "val/balanced_accuracy"
PARALLEL = 2
"""Trials at a time, each with one core."""


@dataclass(frozen=True)
class Setup:
    """One sweep of one contender: class folders under `data`/train, val and test; `began` is when its command was started."""

    contender: str
    seed: int
    folder: str
    ray: str
    data: str
    model: str
    weights: str
    stages: int
    trials: int
    epochs: int
    batch: int
    px: int
    grace: int = 2
    reduction: int = 3
    began: float = 0.0
