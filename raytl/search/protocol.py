"""The trial protocol: a `Suggestion` goes out to a worker, and a `TrialResult` comes back after each epoch.

A trial is running until its last result says that it is complete or failed, or until it is stopped: then it is pruned,
or, with synchronous halving, waits at its rung and is suggested again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A trial to train: Optuna's number, its values by dotted key, and the `source` of the values.

    `seed` is set for a replicate of that trial.
    """

    number: int
    overrides: Mapping[str, Any]
    source: str = "sampler"
    seed: int | None = None

    @property
    def folder(self) -> str:
        """The folder's name: a digest of the values, so that a resumed trial finds its checkpoint."""
        text = json.dumps([dict(self.overrides), self.seed], sort_keys=True, default=str)
        kind = f"trial-{self.number:05d}" if self.seed is None else f"trial-{self.number:05d}-seed-{self.seed}"
        return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class EpochScores:
    """The metrics after an epoch (one-based) that may be objectives."""

    epoch: int
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The state of a trial after an epoch, or after its failure.

    `last` is the last trained epoch; `earlier` are epochs before it that no result has reported yet. `seconds` of
    training, in total. `trainable` is the number of parameters that learn, `features` describes the cached features in
    use, `folder` holds the checkpoints. `reason` says why the trial failed. `oom_retries` counts restarts with smaller
    micro-batches. `is_repeat` is True if the previous result reported the same epoch.
    """

    status: Literal["running", "complete", "failed"]
    last: EpochScores = EpochScores(0)
    earlier: tuple[EpochScores, ...] = ()
    seconds: float = 0.0
    trainable: int = 0
    features: str = "none"
    folder: str = ""
    reason: str = ""
    oom_retries: int = 0
    is_repeat: bool = False

    @property
    def is_last(self) -> bool:
        """True if no result follows."""
        return self.status != "running"

    @property
    def epochs(self) -> tuple[EpochScores, ...]:
        """Every epoch that the result reports, in order; empty if none was trained."""
        return (*self.earlier, self.last) if self.last.metrics else self.earlier
