"""What a sweep may cost: refuse a plan beyond its budget, and count what it has spent."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from raytl.config.schema import BudgetConfig, SearchConfig
from raytl.errors import RunError
from raytl.search.plan import SweepPlan, TrialShape


@dataclass
class BudgetTracker:
    """Seconds and errors so far. `before_s` is the wall time, and `trial_s` the trials' time, of earlier starts."""

    search: SearchConfig
    shape: TrialShape
    before_s: float = 0.0
    trial_s: float = 0.0
    clock: Callable[[], float] = time.monotonic
    _started: float = 0.0
    _errors: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._started = self.clock()

    @property
    def wall_s(self) -> float:
        """Wall time so far, earlier starts included."""
        return self.before_s + self.clock() - self._started

    @property
    def gpu_hours(self) -> float:
        """GPU-hours of all trials so far."""
        return self.trial_s * self.shape.workers * self.shape.gpus / 3600

    def trained(self, seconds: float) -> None:
        """Add `seconds` of one trial."""
        self.trial_s += seconds

    def failed(self, reason: str) -> None:
        """Note a trial's error."""
        self._errors[reason] += 1

    def spent(self) -> str | None:
        """Why no more trials may run; None while they may."""
        budget = self.search.budget
        if budget.wall is not None and self.wall_s >= budget.wall:
            return f"search.budget.wall of {budget.wall:g} s is spent"
        if budget.gpu_hours is not None and self.gpu_hours >= budget.gpu_hours:
            return f"search.budget.gpu_hours of {budget.gpu_hours:g} is spent"
        return None

    def broken(self) -> str | None:
        """The error that came `search.max_errors` times; None where none did."""
        return next((reason for reason, count in self._errors.items() if count >= self.search.max_errors), None)


def refuse_beyond(budget: BudgetConfig, made: SweepPlan) -> None:
    """Raise a RunError where a plan costs more than `budget` even with good pruning."""
    if budget.wall is not None and made.wall_s.low > budget.wall:
        raise RunError(
            f"search.budget.wall: {budget.wall / 3600:.2g} h, and even with good pruning {made.trials - made.done} trials "
            f"take {made.wall_s.low / 3600:.2g} h here ({made.arithmetic}).\n"
            "  Ask for fewer search.trials or epochs, a shallower space, or give more time; `raytl tune --dry-run` shows all."
        )
    if budget.gpu_hours is not None and made.gpu_hours.low > budget.gpu_hours:
        raise RunError(
            f"search.budget.gpu_hours: {budget.gpu_hours:g}, and even with good pruning {made.trials - made.done} trials "
            f"take {made.gpu_hours.low:.2g} GPU-hours.\n  Ask for fewer search.trials or epochs, or a shallower space."
        )
