"""Ray Tune's searcher and scheduler, which ask the sweep's Optuna study and report every end to it.

Ray's own OptunaSearch reports trials that the scheduler stopped as complete, and leaves those with NaN running for ever.
Here each trial ends in its true state, and one that is running when this process or the cluster dies stays so: the next
driver suggests it again. Trials whose process is lost are suggested again here, as Tune gives up those that are lost
before their first epoch.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from raytl.cluster.session import nodes
from raytl.search.executor import RESULT, SUGGESTION
from raytl.search.protocol import Suggestion, TrialResult
from raytl.search.sweep_state import SweepState


class StudySearcher(Searcher):
    """Suggest the study's trials to Tune, `limit` at a time, and report how each ended.

    A trial whose process is lost is suggested again, `max_failures` times.
    """

    def __init__(self, sweep_state: SweepState, limit: int, max_failures: int) -> None:
        super().__init__(metric=None, mode=None)
        self._sweep_state, self._limit, self._max_failures = sweep_state, limit, max_failures
        self._running: dict[str, Suggestion] = {}
        self._lost: list[Suggestion] = []
        self._losses: Counter[int] = Counter()

    def set_search_properties(self, *_: Any, **__: Any) -> bool:
        """Accept Tune's metric and mode, and ignore them: the study has its own."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial's configuration; None while `limit` trials are running, FINISHED if there are no more."""
        if len(self._running) >= self._limit:
            return None
        suggestion = self._lost.pop(0) if self._lost else self._sweep_state.ask()
        if suggestion is None:  # one that is running may be lost, or promote others
            return None if self._running else Searcher.FINISHED
        self._running[trial_id] = suggestion
        return {SUGGESTION: suggestion}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Report how the trial ended."""
        suggestion = self._running.pop(trial_id, None)
        if suggestion is None:
            return
        if error:
            self._lose(suggestion)
        elif result and RESULT in result:
            self._sweep_state.tell(suggestion.number, result[RESULT])

    def _lose(self, suggestion: Suggestion) -> None:
        if not nodes():
            return  # the cluster is gone, not the trial
        self._losses[suggestion.number] += 1
        if self._losses[suggestion.number] <= self._max_failures:
            self._lost.append(suggestion)
        else:
            self._sweep_state.tell(suggestion.number, TrialResult("failed", reason="its process was lost too often"))

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: Optuna's storage is the only state."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Do nothing: Optuna's storage is the only state."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: Optuna's storage is the only state."""


class StudyScheduler(FIFOScheduler):
    """Stop a trial when the study prunes it."""

    def __init__(self, sweep_state: SweepState) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._sweep_state = sweep_state

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Return None, so that Tune gives the process of a trial that ended to the next trial without one.

        Otherwise it takes the first waiting trial, which may have a process that still imports torch: Tune ends that one,
        and starts another for the next trial. Trials shorter than a start would then run one at a time.
        """

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return CONTINUE or STOP."""
        stop = self._sweep_state.report(trial.config[SUGGESTION].number, result[RESULT])
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)
