"""The budget of a sweep: refuse a plan that exceeds it, and track what is spent."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from raytl.config.budget import BudgetConfig
from raytl.config.search import SearchConfig
from raytl.errors import RunError
from raytl.search.plan import SweepPlan, TrialShape


@dataclass
class BudgetTracker:
    """Seconds and errors so far: `before_s` is the wall time of earlier starts, `trial_s` the training time of all trials."""

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
        """Wall time so far, including earlier starts."""
        return self.before_s + self.clock() - self._started

    @property
    def gpu_hours(self) -> float:
        """GPU-hours of all trials so far."""
        return self.trial_s * self.shape.workers * self.shape.gpus / 3600

    def trained(self, seconds: float) -> None:
        """Add `seconds` of training of one trial."""
        self.trial_s += seconds

    def failed(self, reason: str) -> None:
        """Count a trial's error."""
        self._errors[reason] += 1

    def spent(self) -> str | None:
        """Return which budget is spent; None if none is."""
        budget = self.search.budget
        if budget.wall is not None and self.wall_s >= budget.wall:
            return f"search.budget.wall of {budget.wall:g} s is spent"
        if budget.gpu_hours is not None and self.gpu_hours >= budget.gpu_hours:
            return f"search.budget.gpu_hours of {budget.gpu_hours:g} is spent"
        return None

    def broken(self) -> str | None:
        """Return the error that `search.max_errors` trials raised; None if there is none."""
        return next((reason for reason, count in self._errors.items() if count >= self.search.max_errors), None)


def idle_budget(budget: BudgetConfig, shape: TrialShape) -> str:
    """Return which limit limits nothing, with advice; empty if all can take effect."""
    if budget.gpu_hours is None or shape.gpus:
        return ""
    return (
        f"search.budget.gpu_hours: found {budget.gpu_hours:g}, and trials use no GPU here: it limits nothing. "
        "search.budget.wall limits the time"
    )


def check_budget(budget: BudgetConfig, plan: SweepPlan) -> None:
    """Raise a RunError if `plan` exceeds `budget` even with good pruning."""
    trials = plan.trials - plan.done
    if budget.wall is not None and plan.wall_s.low > budget.wall:
        raise RunError(
            f"search.budget.wall: {budget.wall / 3600:.2g} h; even with good pruning, {trials} trials take "
            f"{plan.wall_s.low / 3600:.2g} h here ({plan.arithmetic}).\n"
            "  Use fewer search.trials or epochs, a shallower space, or a larger budget; `raytl tune --dry-run` shows the "
            "costs."
        )
    if budget.gpu_hours is not None and plan.gpu_hours.low > budget.gpu_hours:
        raise RunError(
            f"search.budget.gpu_hours: {budget.gpu_hours:g}; even with good pruning, {trials} trials take "
            f"{plan.gpu_hours.low:.2g} GPU-hours.\n  Use fewer search.trials or epochs, or a shallower space."
        )
