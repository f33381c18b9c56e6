"""The state of a running sweep: it connects the executor with Optuna's study, counts costs, reports progress, and keeps
only the best checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raytl.config.search import SearchConfig
from raytl.events import OnEvent, TrialChanged
from raytl.metrics.direction import lower_is_better
from raytl.run.mirror import BEST, LAST
from raytl.search.budget import BudgetTracker
from raytl.search.checkpoints import Checkpoints
from raytl.search.folds import fold_folders
from raytl.search.methods import with_simplest
from raytl.search.noise import NoiseStop
from raytl.search.protocol import EpochScores, Suggestion, TrialResult
from raytl.search.record import EndState, TrialRecord, best_first, finalists
from raytl.search.stopping import MIN_TRIALS, Stop
from raytl.search.study import Study
from raytl.search.summary import write_wall_s

_END: Mapping[str, EndState] = {"running": "pruned", "complete": "complete", "failed": "failed"}
"""The state in which a trial ends, by the status of its last result."""
_SUGGESTED = TrialResult("running")


@dataclass
class SweepState:
    """The study with its costs; `ask`, `report` and `tell` mean the same as in Optuna."""

    study: Study
    search: SearchConfig
    budget_tracker: BudgetTracker
    epochs: int
    total: int
    on_event: OnEvent
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    noise_stop: NoiseStop | None = None
    stop: Stop | None = None
    """Why no more trials are suggested, if the sweep stopped at the noise of validation."""
    _suggestions: dict[int, Suggestion] = field(default_factory=dict)
    _seconds: dict[int, float] = field(default_factory=dict)
    _best: tuple[float, int] | None = None
    _finalists: list[TrialRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        metric, records = self.search.metrics[0], self.study.records()
        self._seconds = {record.number: record.seconds for record in records}
        self.budget_tracker.trained(sum(self._seconds.values()))
        scored = best_first(records, metric)
        self._best = (scored[0].values[0], scored[0].number) if scored and scored[0].values else None
        self._finalists = finalists(scored, metric)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a string: Tune writes a copy of its searcher into its own state, which nobody reads."""
        return str, ("the state of a sweep is not copied",)

    @property
    def is_over(self) -> bool:
        """True if the budget is spent, or the same error ended too many trials."""
        return self.budget_tracker.spent() is not None or self.budget_tracker.broken() is not None

    @property
    def budget_stop(self) -> str | None:
        """Return which budget ended the sweep before all of its trials; None if they ended by themselves, or there is no limit.

        The time of replicates and of the refit counts toward no budget.
        """
        return self.budget_tracker.spent() if self.study.counts()[1] else None

    def ask(self) -> Suggestion | None:
        """Return the next trial; None if all were suggested, or the sweep is over or stops here."""
        self._stop_at_noise()
        suggestion = None if self.is_over else self.study.ask()
        for number in self.study.taken_pruned():
            self._drop_checkpoints(number)
            self._emit_pruned(self.study.record(number))
        if suggestion is not None:
            self._suggestions[suggestion.number] = suggestion
            self._emit(suggestion.number, "running", _SUGGESTED)
        return suggestion

    def advance(self, number: int, result: TrialResult) -> bool:
        """Report a trial's result and, if it is the last or the trial is to be stopped, its end; return True if it trains no more.

        A trial that the budget interrupts does not end: a later start with a larger budget continues it.
        """
        if result.is_last or self.report(number, result):
            self.tell(number, result)
            return True
        if self.is_over:
            write_wall_s(self.study.folder, self.budget_tracker.wall_s)
        return self.is_over

    def report(self, number: int, result: TrialResult) -> bool:
        """Report the epochs of a trial; return True if it is to be stopped."""
        self._count_seconds(number, result)
        stop = self.study.report(number, result)
        self._update_best(number, result.last.metrics[self.search.metrics[0]])
        if not result.is_repeat:
            self._emit(number, "running", result)
        return stop

    def tell(self, number: int, result: TrialResult) -> None:
        """Report the end of a trial: complete, failed, or pruned if `result` says that it was running. Store the wall time, which
        counts even if this process is killed."""
        if result.status == "complete":
            self.report(number, result)
        state = _END[result.status]
        self._count_seconds(number, result)
        if state == "failed":
            self.budget_tracker.failed(result.reason)
        ended = self.study.tell(number, state, result)
        write_wall_s(self.study.folder, self.budget_tracker.wall_s)
        if ended:
            self._drop_checkpoints(number)
        self._emit(number, state if ended else "waiting", result)

    def store_seconds(self) -> None:
        """Store the training time of trials that the budget interrupted, so that a later start counts it."""
        for record in self.study.records():
            seconds = self._seconds.get(record.number, 0.0)
            if record.state == "running" and seconds > record.seconds:
                self.study.store_seconds(record.number, seconds)

    def wanted(self) -> set[tuple[str, str]]:
        """Return the checkpoints that are needed, as (trial, name): of the best trials, and of those that may resume."""
        running = [record for record in self.study.records() if record.state == "running"]
        if self.search.folds:
            folders = [each for record in running for each in fold_folders(record.folder, self.search.folds)]
            return {(folder, name) for folder in folders for name in (BEST, LAST)}
        best = {(record.folder, BEST) for record in (*self._finalists, *running)}
        return best | {(record.folder, LAST) for record in running}

    def _stop_at_noise(self) -> None:
        """Suggest no new trials if they cannot gain more than the noise of validation; running trials continue."""
        left, (ended, _) = self.study.unsuggested, self.study.counts()
        if self.noise_stop is None or self.stop is not None or not left or ended < MIN_TRIALS:
            return
        if ended % (1 + ended // 100):  # of hundreds of trials, not at each: it reads them all
            return
        self.stop = self.noise_stop.decide(self.study.records(), left)
        if self.stop is not None:
            self.study.close()
            self.total -= left

    def _count_seconds(self, number: int, result: TrialResult) -> None:
        before = self._seconds.get(number, 0.0)
        self.budget_tracker.trained(max(0.0, result.seconds - before))
        self._seconds[number] = max(result.seconds, before)

    def _update_best(self, number: int, value: float) -> None:
        lower = lower_is_better(self.search.metrics[0])
        if not math.isfinite(value):
            return
        if self._best is None or (value < self._best[0] if lower else value > self._best[0]):
            self._best = (value, number)

    def _drop_checkpoints(self, number: int) -> None:
        """Drop the last checkpoint of a trial that ended, and all checkpoints of trials that are not among the best; of
        folds all of them, as no network of one fold is the winner's."""
        trial = self.study.record(number)
        if self.search.folds:
            for folder in fold_folders(trial.folder, self.search.folds) if trial.folder else ():
                self.checkpoints.drop(folder)
            return
        if trial.folder:
            self.checkpoints.drop(trial.folder, (LAST,))
        keep = max(self.search.keep, self.search.replicates.top)
        ended = [*self._finalists, trial]
        self._finalists = with_simplest(finalists(ended, self.search.metrics[0]), keep)
        for record in ended:
            if record.folder and record not in self._finalists:
                self.checkpoints.drop(record.folder)

    def _emit_pruned(self, trial: TrialRecord) -> None:
        """Emit the end of a trial that lost while it waited at a rung."""
        last = {self.search.metrics[0]: trial.curve[-1][1]} if trial.curve else {}
        result = TrialResult("running", EpochScores(trial.epochs, last), features=trial.features)
        self._emit(trial.number, "pruned", result)

    def _emit(self, number: int, state: str, result: TrialResult) -> None:
        suggestion = self._suggestions.get(number)
        ended, _ = self.study.counts()
        self.on_event(
            TrialChanged(
                number=number,
                state=state,
                epoch=result.last.epoch,
                epochs=self.epochs,
                value=result.last.metrics.get(self.search.metrics[0]),
                best=self._best[0] if self._best else None,
                best_number=self._best[1] if self._best else None,
                done=ended,
                trials=self.total,
                overrides=suggestion.overrides if suggestion else {},
                features=result.features,
                reason=result.reason,
            )
        )
