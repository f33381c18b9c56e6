"""A trial as a value: its overrides, progress, scores and cost. All tables and reports are made from these."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from raytl.metrics.direction import lower_is_better
from raytl.sanitize import redacted
from raytl.stored import Format
from raytl.stored.bounds import Count, Name

EndState = Literal["complete", "pruned", "failed"]
State = Literal["running"] | EndState


@dataclass(frozen=True)
class TrialRecord:
    """One trial of a sweep.

    `number` is Optuna's. `overrides` are its values by dotted key. `values` is the best of each objective so far (None
    before the first epoch, and for failed trials), `best_epoch` (one-based) where the first objective was best.
    `curve` is the first objective after each epoch: (epoch, value). `seconds` of training, over its workers.
    `source` is `recipe: ...`, `the experiment as it is`, or `sampler`; `reason` says why it failed.
    `features` describes the cached features that it used, or is `none`. `folder` holds its checkpoints.
    """

    number: int
    state: State
    overrides: dict[str, Any]
    values: tuple[float, ...] | None = None
    best_epoch: int | None = None
    curve: tuple[tuple[int, float], ...] = ()
    seconds: float = 0.0
    trainable: int = 0
    source: str = "sampler"
    reason: str = ""
    features: str = "none"
    folder: str = ""
    metrics: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Redact secrets in the reason, which another library worded."""
        object.__setattr__(self, "reason", redacted(self.reason))

    @property
    def epochs(self) -> int:
        """Number of epochs that were trained."""
        return self.curve[-1][0] if self.curve else 0


@dataclass(frozen=True, slots=True)
class TrialAttributes:
    """The attributes of a trial in the study, besides its values for Optuna; see `TrialRecord`."""

    overrides: dict[Name, int | float | str | bool | list[Any] | dict[str, Any] | None]
    best: tuple[float, ...] | None = None
    best_epoch: Count | None = None
    seconds: float = 0.0
    trainable: Count = 0
    source: str = "sampler"
    reason: str = ""
    features: Name = "none"
    folder: Name | None = None


ATTRIBUTES_FORMAT = Format[TrialAttributes](
    TrialAttributes, "a trial", "The study was damaged or edited: restore it, or start over with --new."
)


def best_first(records: list[TrialRecord], metric: str) -> list[TrialRecord]:
    """Return the trials that have a value, best first; of equal ones, first that with fewer trainable parameters, then the
    earlier."""
    sign = 1.0 if lower_is_better(metric) else -1.0
    scored = [r for r in records if r.values is not None and r.state in ("complete", "pruned", "running")]
    return sorted(scored, key=lambda r: (sign * (r.values or (0.0,))[0], r.trainable, r.number))


def finalists(records: list[TrialRecord], metric: str) -> list[TrialRecord]:
    """Return the trials that ended with a value, best first: complete ones, then pruned ones."""
    ended = [record for record in best_first(records, metric) if record.state != "running"]
    return sorted(ended, key=lambda record: record.state != "complete")
