"""Each state of a trial reaches Optuna from Tune, with real processes on an embedded Ray."""

from __future__ import annotations

import json
import math
import os
from functools import partial
from pathlib import Path

import pytest

from raytl.cluster.session import session
from raytl.config.schema import Experiment
from raytl.config.search import SearchConfig
from raytl.config.space import space_of
from raytl.events import Recorder, TrialChanged
from raytl.search.budget import BudgetTracker
from raytl.search.executor import Trial, TrialExecutor, run_on_tune
from raytl.search.plan import TrialShape
from raytl.search.protocol import EpochScores, Suggestion, TrialResult
from raytl.search.searcher import StudyScheduler, StudySearcher
from raytl.search.study import Study
from raytl.search.sweep_state import SweepState

COMPLETE, FAILS, DIES, NAN, BEHIND, DIES_ONCE, DIES_OPENED = range(7)
EPOCHS = 3


class Scripted:
    """A trial that behaves as its number says, and logs its life in `folder`."""

    def __init__(self, folder: Path, suggestion: Suggestion) -> None:
        self.folder, self.number = folder, suggestion.number
        self.epoch = len(list(folder.glob(f"{self.number}-epoch-*")))
        if self.number == DIES_OPENED and not self._has_logged("died"):
            self._die()
        self._log("opened")

    def step(self) -> TrialResult:
        self.epoch += 1
        if self.number == DIES or (self.number == DIES_ONCE and not self._has_logged("died")):
            self._die()
        (self.folder / f"{self.number}-epoch-{self.epoch}").touch()
        value = {NAN: math.nan, BEHIND: 0.1}.get(self.number, 0.5 + 0.1 * self.epoch)
        scores = EpochScores(self.epoch, {"val/accuracy": value})
        if self.number == FAILS:
            return TrialResult("failed", scores, seconds=1.0, reason="a bug")
        return TrialResult("complete" if self.epoch == EPOCHS else "running", scores, seconds=1.0)

    def close(self) -> None:
        self._log("closed")

    def _die(self) -> None:
        self._log("died")
        os._exit(1)

    def _log(self, word: str) -> None:
        with (self.folder / f"{self.number}.jsonl").open("a") as file:
            file.write(json.dumps([word, os.getpid()]) + "\n")

    def _has_logged(self, word: str) -> bool:
        return any(logged == word for logged, _ in events_of(self.folder, self.number))


def events_of(folder: Path, number: int) -> list[tuple[str, int]]:
    """Return the log of the trial: (event, process)."""
    file = folder / f"{number}.jsonl"
    return [tuple(json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []


def factory(folder: Path, suggestion: Suggestion) -> Trial:
    return Scripted(folder, suggestion)


@pytest.mark.ray
@pytest.mark.thorough
@pytest.mark.lengthy
@pytest.mark.slow
def test_every_state_reaches_optuna_and_processes_are_reused(tmp_path: Path) -> None:
    search = SearchConfig(
        trials=7, metric="val/accuracy", grace_epochs=1, reduction=2, recipes=False, sampler="random",
        space={"optim.lr": {"log": [1e-4, 1e-2]}}, max_errors=9,
    )  # fmt: skip
    experiment = Experiment.model_validate(
        {"name": "x", "data": {"uri": "d"}, "model": {"name": "resnet18"}, "search": search.model_dump()}
    )
    space = space_of(experiment).resolved(5)
    base = {"transfer.unfreeze": 2}
    study = Study.open(tmp_path, search, name="x", space=space, base=base, stages=5, epochs=EPOCHS, same={})
    shape, heard = TrialShape(1, 1, 0.0), Recorder()
    sweep_state = SweepState(study, search, BudgetTracker(search, shape), EPOCHS, 7, heard)
    with session("local"):
        run_on_tune(
            StudySearcher(sweep_state, 1, max_failures=1), StudyScheduler(sweep_state), lambda: sweep_state.is_over, partial(factory, tmp_path),
            TrialExecutor("local", shape, 1), tmp_path / ".ray",
        )  # fmt: skip
    records = {record.number: record for record in study.records()}
    assert {number: record.state for number, record in records.items()} == {
        COMPLETE: "complete", FAILS: "failed", DIES: "failed", NAN: "failed", BEHIND: "pruned", DIES_ONCE: "complete",
        DIES_OPENED: "complete",
    }  # fmt: skip
    assert records[FAILS].reason == "a bug"
    assert "process was lost" in records[DIES].reason
    assert records[BEHIND].epochs == 1
    assert records[NAN].values is None
    assert [e.number for e in heard.events if isinstance(e, TrialChanged) and e.state == "complete"] == [0, 5, 6]

    lives = {number: events_of(tmp_path, number) for number in range(7)}
    pids = {number: {pid for _, pid in life} for number, life in lives.items()}
    assert pids[COMPLETE] == pids[FAILS]
    assert pids[NAN] == pids[BEHIND] == {lives[NAN][0][1]}, "a stopped trial's process takes the next one"
    for number in (COMPLETE, FAILS, NAN, BEHIND):
        assert lives[number][-1][0] == "closed"
