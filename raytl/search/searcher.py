"""Tune's questions and answers, handed on to the study: what is told is true.

Ray's own OptunaSearch tells trials that the scheduler stopped as complete, and leaves those with NaN running for ever.
Here a trial is complete when it trained to its end, pruned when the scheduler stopped it, failed when it says so or its
process is lost for good; and still running when this process dies, so that the next one asks it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from raytl.search.study import Asked

TOLD = "told"
"""The key of a Tune result that holds the trial's own result, as JSON: Tune flattens and adds to what it is given."""


class Board(Protocol):
    """Who is asked and told by trial number."""

    @property
    def waits(self) -> bool:
        """True while there is no next trial yet."""
        ...

    def ask(self) -> Asked | None:
        """The next trial; None when there is none, or not yet."""
        ...

    def report(self, number: int, epoch: int, result: Mapping[str, Any]) -> bool:
        """Hear an epoch; True when the trial is to be stopped."""
        ...

    def tell(self, number: int, state: str, result: Mapping[str, Any]) -> None:
        """Hear a trial's end."""
        ...


class StudySearcher(Searcher):
    """Suggests what the study asks, `limit` trials at a time, and tells it how each ended."""

    def __init__(self, board: Board, limit: int) -> None:
        super().__init__(metric=None, mode=None)
        self._board, self._limit = board, limit
        self._live: dict[str, int] = {}

    def set_search_properties(self, *_: Any, **__: Any) -> bool:
        """Tune's metric and mode play no part: the study has its own."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """The next trial's configuration; None while enough of them run or wait, FINISHED when there are no more."""
        if len(self._live) >= self._limit:
            return None
        asked = self._board.ask()
        if asked is None:
            return None if self._board.waits and self._live else Searcher.FINISHED
        self._live[trial_id] = asked.number
        return {"number": asked.number, "overrides": asked.overrides}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell how the trial ended."""
        number = self._live.pop(trial_id, None)
        if number is None:
            return
        told = json.loads(result[TOLD]) if result and TOLD in result else None
        if error:
            self._board.tell(number, "failed", (told or {}) | {"failed": "its process was lost too often"})
        elif told is not None:
            self._end(number, told)

    def _end(self, number: int, told: dict[str, Any]) -> None:
        if "failed" in told:
            self._board.tell(number, "failed", told)
        elif told["done"]:
            self._board.report(number, told["epoch"], told)  # Tune shows the scheduler no last result
            self._board.tell(number, "complete", told)
        else:
            self._board.tell(number, "pruned", told)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: Optuna's storage is the only truth."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: Optuna's storage is the only truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: Optuna's storage is the only truth."""


class StudyScheduler(FIFOScheduler):
    """Stops a trial when the study says that it fell behind."""

    def __init__(self, board: Board) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._board = board

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """CONTINUE, or STOP."""
        told = json.loads(result[TOLD])
        stop = self._board.report(trial.config["number"], told["epoch"], told)
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)


__all__ = ["TOLD", "StudyScheduler", "StudySearcher"]
