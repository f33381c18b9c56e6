"""The sweep as it goes: between whoever runs trials and Optuna's study, counting costs, telling the watcher, and keeping
only the best checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raytl.config.schema import SearchConfig
from raytl.events import OnEvent, TrialChanged
from raytl.run.mirror import BEST, LAST
from raytl.search.budget import BudgetTracker
from raytl.search.checkpoints import Checkpoints
from raytl.search.record import TrialRecord, best_first, finalists, lower_is_better
from raytl.search.study import Study, Suggestion


@dataclass
class SweepState:
    """The study with its costs. `ask`, `report` and `tell` are called by the searcher and by the loop without Ray."""

    study: Study
    search: SearchConfig
    budget_tracker: BudgetTracker
    epochs: int
    total: int
    on_event: OnEvent
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    _asked: dict[int, Suggestion] = field(default_factory=dict)
    _seconds: dict[int, float] = field(default_factory=dict)
    _best: tuple[float, int] | None = None
    _kept: list[TrialRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        metric = self.search.metrics[0]
        scored = best_first(self.study.records(), metric)
        self._best = (scored[0].values[0], scored[0].number) if scored and scored[0].values else None
        self._kept = finalists(scored, metric)

    def __reduce__(self) -> tuple[Any, ...]:
        """Tune writes a copy of what it is given into its own state, which nobody reads: it gets a word."""
        return str, ("the board is not copied",)

    @property
    def over(self) -> bool:
        """True when nothing more may run."""
        return self.budget_tracker.spent() is not None or self.budget_tracker.broken() is not None

    def ask(self) -> Suggestion | None:
        """The next trial; None when all were asked, or nothing more may run."""
        asked = None if self.over else self.study.ask()
        if asked is not None:
            self._asked[asked.number] = asked
            self._tell(asked.number, "running", {})
        return asked

    def report(self, number: int, epoch: int, result: Mapping[str, Any]) -> bool:
        """Hear a trial's epoch; True when the trial is to be stopped."""
        self._count(number, result)
        told = _told(result)
        epochs = (*result.get("earlier", ()), (epoch, result["metrics"]))
        stop = any(self.study.report(number, at, metrics, **told) for at, metrics in epochs)
        self._note(number, result["metrics"][self.search.metrics[0]])
        if not result.get("repeats"):
            self._tell(number, "running", result)
        return stop

    def tell(self, number: int, state: str, result: Mapping[str, Any]) -> None:
        """Hear a trial's end: complete, pruned or failed."""
        self._count(number, result)
        reason = str(result.get("failed", ""))
        if state == "failed":
            self.budget_tracker.failed(reason)
        ended = self.study.tell(number, state, reason=reason, **_told(result))
        if ended:
            self._tidy(number, result)
        self._tell(number, state if ended else "waiting", result)

    def wanted(self) -> set[tuple[str, str]]:
        """The checkpoints that are needed, by trial and name: of the best, and of those that may go on."""
        waiting = [record for record in self.study.records() if record.state == "running"]
        kept = {(record.folder, BEST) for record in (*self._kept, *waiting)}
        return kept | {(record.folder, LAST) for record in waiting}

    def _count(self, number: int, result: Mapping[str, Any]) -> None:
        now = float(result.get("seconds", 0.0))
        self.budget_tracker.trained(max(0.0, now - self._seconds.get(number, 0.0)))
        self._seconds[number] = max(now, self._seconds.get(number, 0.0))

    def _note(self, number: int, value: float) -> None:
        lower = lower_is_better(self.search.metrics[0])
        if self._best is None or (value < self._best[0] if lower else value > self._best[0]):
            self._best = (value, number)

    def _tidy(self, number: int, result: Mapping[str, Any]) -> None:
        """Drop what no trial will need: the last checkpoint of one that ended, all of those that are not among the best."""
        if result.get("folder"):
            self.checkpoints.drop(str(result["folder"]), (LAST,))
        keep = max(self.search.keep, self.search.replicates.top)
        ended = [*self._kept, self.study.record(number)]
        self._kept = finalists(ended, self.search.metrics[0])[:keep]
        for record in ended:
            if record.folder and record not in self._kept:
                self.checkpoints.drop(record.folder)

    def _tell(self, number: int, state: str, result: Mapping[str, Any]) -> None:
        asked = self._asked.get(number)
        done, _ = self.study.counts()
        value = result.get("metrics", {}).get(self.search.metrics[0])
        self.on_event(
            TrialChanged(
                number=number,
                state=state,
                epoch=int(result.get("epoch", 0)),
                epochs=self.epochs,
                value=value,
                best=self._best[0] if self._best else None,
                best_number=self._best[1] if self._best else None,
                done=done,
                trials=self.total,
                overrides=asked.overrides if asked else {},
                features=str(result.get("features", "none")),
                reason=str(result.get("failed", "")),
            )
        )


def _told(result: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a result beside its values."""
    return {
        "seconds": float(result.get("seconds", 0.0)),
        "trainable": int(result.get("trainable", 0)),
        "features": str(result.get("features", "none")),
        "folder": str(result.get("folder", "")),
    }
