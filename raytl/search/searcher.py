"""Tune's questions and answers, handed on to the study: what is told is true.

Ray's own OptunaSearch tells trials that the scheduler stopped as complete, and leaves those with NaN running for ever.
Here a trial is complete when it trained to its end, pruned when the scheduler stopped it, failed when it says so or its
process is lost too often; and still running when this process or the cluster dies, so that the next one asks it again.
Lost trials are asked again here: Tune itself gives those up that are lost before their first epoch.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from raytl.cluster.session import nodes
from raytl.search.executor import TOLD
from raytl.search.study import Suggestion


class SweepState(Protocol):
    """Who is asked and told by trial number."""

    def ask(self) -> Suggestion | None:
        """The next trial; None when there is none, or not yet."""
        ...

    def report(self, number: int, epoch: int, result: Mapping[str, Any]) -> bool:
        """Hear an epoch; True when the trial is to be stopped."""
        ...

    def tell(self, number: int, state: str, result: Mapping[str, Any]) -> None:
        """Hear a trial's end."""
        ...


class StudySearcher(Searcher):
    """Suggests what the study asks, `limit` trials at a time, and tells it how each ended. A trial whose process is lost
    is suggested again, `max_failures` times."""

    def __init__(self, sweep_state: SweepState, limit: int, max_failures: int) -> None:
        super().__init__(metric=None, mode=None)
        self._sweep_state, self._limit, self._max_failures = sweep_state, limit, max_failures
        self._live: dict[str, Suggestion] = {}
        self._lost: list[Suggestion] = []
        self._losses: Counter[int] = Counter()

    def set_search_properties(self, *_: Any, **__: Any) -> bool:
        """Tune's metric and mode play no part: the study has its own."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """The next trial's configuration; None while enough of them run or wait, FINISHED when there are no more."""
        if len(self._live) >= self._limit:
            return None
        asked = self._lost.pop(0) if self._lost else self._sweep_state.ask()
        if asked is None:
            return None if self._live else Searcher.FINISHED  # one that is live may be lost, or let others go on
        self._live[trial_id] = asked
        return {"number": asked.number, "overrides": asked.overrides}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell how the trial ended."""
        asked = self._live.pop(trial_id, None)
        if asked is None:
            return
        if error:
            self._lose(asked)
        elif result and TOLD in result:
            self._end(asked.number, json.loads(result[TOLD]))

    def _lose(self, asked: Suggestion) -> None:
        if not nodes():
            return  # the cluster went away, not the trial
        self._losses[asked.number] += 1
        if self._losses[asked.number] <= self._max_failures:
            self._lost.append(asked)
        else:
            self._sweep_state.tell(asked.number, "failed", {"failed": "its process was lost too often"})

    def _end(self, number: int, told: dict[str, Any]) -> None:
        if "failed" in told:
            self._sweep_state.tell(number, "failed", told)
        elif told["done"]:
            self._sweep_state.report(number, told["epoch"], told)  # Tune shows the scheduler no last result
            self._sweep_state.tell(number, "complete", told)
        else:
            self._sweep_state.tell(number, "pruned", told)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: Optuna's storage is the only truth."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: Optuna's storage is the only truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: Optuna's storage is the only truth."""


class StudyScheduler(FIFOScheduler):
    """Stops a trial when the study says that it fell behind."""

    def __init__(self, sweep_state: SweepState) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._sweep_state = sweep_state

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Return None, so that Tune gives the process of a trial that ended to the next trial that has none.

        Left to choose, it takes the first that waits, which may have a process that still imports torch: that one is ended
        and the next trial starts another. Trials shorter than a start then run one at a time, beside starts in vain.
        """

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """CONTINUE, or STOP."""
        told = json.loads(result[TOLD])
        stop = self._sweep_state.report(trial.config["number"], told["epoch"], told)
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)
