"""The setup that all contenders of the sweep bench share."""

from __future__ import annotations

from dataclasses import dataclass

METRIC = "val/balanced_accuracy"
PARALLEL = 2
"""Number of concurrent trials, each with one core."""


@dataclass(frozen=True)
class Setup:
    """One sweep of one contender: class folders under `data`/train, val and test; `began` is the start of its command."""

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
