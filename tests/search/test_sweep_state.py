"""The state of a sweep: which checkpoints stay, and which events are sent."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raytl.config.schema import Experiment
from raytl.config.search import SearchConfig
from raytl.config.space import Dimension, Space, space_of
from raytl.errors import TrainingError
from raytl.events import Recorder, TrialChanged, ignore
from raytl.search.budget import BudgetTracker
from raytl.search.driver import _check_outcome
from raytl.search.noise import NoiseStop
from raytl.search.plan import TrialShape
from raytl.search.protocol import EpochScores, TrialResult
from raytl.search.record import finalists
from raytl.search.stopping import MIN_TRIALS
from raytl.search.study import Study
from raytl.search.summary import total_of, wall_s
from raytl.search.sweep_state import SweepState

METRIC = "val/accuracy"


@pytest.mark.parametrize("ends", [("complete", "pruned", "pruned"), ("pruned", "complete", "pruned"), ("pruned",) * 3])
def test_the_finalists_keep_their_checkpoints_and_no_others_do(tmp_path: Path, ends: tuple[str, ...]) -> None:
    search = SearchConfig.model_validate(
        {"trials": 3, "metric": METRIC, "scheduler": "none", "keep": 1, "replicates": {"top": 1}}
    )
    experiment = Experiment.model_validate({"name": "x", "data": {"uri": "d"}, "model": {"name": "m"}})
    space = space_of(experiment).resolved(5)
    study = Study.open(tmp_path, search, name="x", space=space, base={}, stages=5, epochs=9, same={})
    sweep_state = SweepState(study, search, BudgetTracker(search, TrialShape(1, 1, 0.0)), 9, 3, ignore)
    for number, state in enumerate(ends):
        suggestion = sweep_state.ask()
        assert suggestion is not None
        folder = tmp_path / "trials" / f"trial-{number}"
        for name in ("best", "last"):
            (folder / "checkpoints" / name).mkdir(parents=True)
        value = 0.5 if state == "complete" else 0.8 + number / 100
        result = TrialResult("running", EpochScores(1, {METRIC: value}), folder=str(folder), seconds=1.0)
        assert not sweep_state.report(suggestion.number, result)
        sweep_state.tell(suggestion.number, replace(result, status="complete" if state == "complete" else "running"))
    (kept,) = [path.parents[1].name for path in tmp_path.glob("trials/trial-*/checkpoints/best")]
    first = finalists(study.records(), METRIC)[0]
    assert (kept, first.state) == (Path(first.folder).name, "complete" if "complete" in ends else "pruned")
    assert not list(tmp_path.glob("trials/trial-*/checkpoints/last"))


def test_trials_that_lose_at_a_rung_or_were_stopped_when_the_driver_died_leave_no_checkpoints(tmp_path: Path) -> None:
    space, heard = Space((Dimension("optim.lr", "log", 1e-4, 1e-2),)), Recorder()

    def opened(scheduler: str) -> SweepState:
        search = SearchConfig.model_validate(
            {"trials": 9, "metric": METRIC, "scheduler": scheduler, "grace_epochs": 1, "sampler": "random", "keep": 3}
        )
        folder = tmp_path / scheduler
        folder.mkdir(exist_ok=True)
        study = Study.open(folder, search, name="x", space=space, base={}, stages=5, epochs=9, same={})
        return SweepState(study, search, BudgetTracker(search, TrialShape(1, 1, 0.0)), 9, 9, heard)

    def trained(number: int, epoch: int, scheduler: str) -> TrialResult:
        folder = tmp_path / scheduler / "trials" / f"trial-{number}"
        for name in ("best", "last"):
            (folder / "checkpoints" / name).mkdir(parents=True, exist_ok=True)
        status = "complete" if epoch == 9 else "running"
        return TrialResult(status, EpochScores(epoch, {METRIC: 0.9 - number / 100}), folder=str(folder), seconds=1.0)

    def left(scheduler: str) -> list[str]:
        return sorted(f"{path.parents[1].name} {path.name}" for path in tmp_path.glob(f"{scheduler}/trials/*/*/*"))

    halving = opened("halving")
    epochs = dict.fromkeys(range(9), 0)
    while (suggestion := halving.ask()) is not None:
        is_end = False
        while not is_end:
            epochs[suggestion.number] += 1
            is_end = halving.advance(
                suggestion.number, trained(suggestion.number, epochs[suggestion.number], "halving")
            )
    assert sorted(epochs.values()) == [1] * 6 + [3] * 2 + [9]
    assert left("halving") == ["trial-0 best", "trial-1 best", "trial-2 best"]
    ends = {event.number: event for event in heard.events if isinstance(event, TrialChanged)}
    assert Counter(event.state for event in ends.values()) == {"pruned": 8, "complete": 1}
    assert (ends[5].epoch, ends[5].value, ends[2].epoch) == (1, 0.85, 3)

    asha = opened("asha")
    for number in range(9):
        assert asha.ask() is not None
        asha.report(number, trained(number, 1, "asha"))  # the driver dies before it ends any trial
    again = opened("asha")
    while (resumed := again.ask()) is not None:
        again.tell(resumed.number, trained(resumed.number, 9, "asha"))
    assert {record.state for record in again.study.records()} == {"complete", "pruned"}
    assert left("asha") == ["trial-0 best", "trial-1 best", "trial-2 best"]


def test_the_checkpoints_of_a_trial_that_the_budget_interrupts_are_wanted(tmp_path: Path) -> None:
    search = SearchConfig.model_validate({"trials": 2, "metric": METRIC, "scheduler": "none"})
    space = Space((Dimension("optim.lr", "log", 1e-4, 1e-2),))
    study = Study.open(tmp_path, search, name="x", space=space, base={}, stages=5, epochs=9, same={})
    sweep_state = SweepState(study, search, BudgetTracker(search, TrialShape(1, 1, 0.0)), 9, 2, ignore)
    suggestion = sweep_state.ask()
    assert suggestion is not None
    sweep_state.report(suggestion.number, TrialResult("running", EpochScores(1, {METRIC: 0.5}), seconds=1.0))
    folder = f"{study.root}/{suggestion.folder}"
    assert sweep_state.wanted() == {(folder, "checkpoints/best"), (folder, "checkpoints/last")}


def test_a_resumed_trial_reports_epochs_that_a_killed_process_could_not(tmp_path: Path) -> None:
    search = SearchConfig.model_validate({"trials": 1, "metric": METRIC, "scheduler": "none"})
    experiment = Experiment.model_validate({"name": "x", "data": {"uri": "d"}, "model": {"name": "m"}})
    space = space_of(experiment).resolved(5)

    def opened() -> SweepState:
        study = Study.open(tmp_path, search, name="x", space=space, base={}, stages=5, epochs=9, same={})
        return SweepState(study, search, BudgetTracker(search, TrialShape(1, 1, 0.0)), 9, 1, ignore)

    sweep_state = opened()
    suggestion = sweep_state.ask()
    assert suggestion is not None
    sweep_state.report(suggestion.number, TrialResult("running", EpochScores(1, {METRIC: 0.5}), seconds=1.0))
    again = opened()
    assert again.ask() is not None
    *earlier, last = (EpochScores(i, {METRIC: value}) for i, value in enumerate((0.5, 0.9, 0.6, 0.7), 1))
    again.report(suggestion.number, TrialResult("running", last, tuple(earlier), seconds=4.0))
    (record,) = again.study.records()
    assert record.curve == ((1, 0.5), (2, 0.9), (3, 0.6), (4, 0.7))
    assert (record.values, record.best_epoch) == ((0.9,), 2)


@pytest.mark.parametrize("metric", [METRIC, [METRIC, "cost/trainable_parameters"]])
def test_a_trial_that_the_budget_interrupts_keeps_its_scores_and_resumes(
    tmp_path: Path, metric: str | list[str]
) -> None:
    search = SearchConfig.model_validate({"metric": metric, "scheduler": "none", "budget": {"wall": 10}})
    experiment = Experiment.model_validate({"name": "x", "data": {"uri": "d"}, "model": {"name": "m"}})
    space, seconds = space_of(experiment).resolved(5), [0.0]

    def opened(budget_s: float) -> SweepState:
        larger = search.model_copy(update={"budget": search.budget.model_copy(update={"wall": budget_s})})
        study = Study.open(tmp_path, larger, name="x", space=space, base={}, stages=5, epochs=9, same={})
        tracker = BudgetTracker(larger, TrialShape(1, 1, 0.0), clock=lambda: seconds[-1])
        return SweepState(study, larger, tracker, 9, 64, ignore)

    sweep_state = opened(10)
    suggestion = sweep_state.ask()
    assert suggestion is not None
    scores = {METRIC: 0.5, "cost/trainable_parameters": 10.0}
    assert not sweep_state.advance(suggestion.number, TrialResult("running", EpochScores(1, scores)))
    seconds.append(11.0)
    assert sweep_state.advance(suggestion.number, TrialResult("running", EpochScores(2, scores | {METRIC: 0.6})))
    assert wall_s(tmp_path) == 11.0, "also if the process is killed now"
    assert sweep_state.ask() is None and sweep_state.budget_stop
    (record,) = sweep_state.study.records()
    assert (record.state, record.values) == ("running", (0.6, 10.0)[: len(search.metrics)])
    again = opened(20)
    assert again.ask() == suggestion
    again.advance(suggestion.number, TrialResult("complete", EpochScores(9, scores | {METRIC: 0.7})))
    (ended,) = finalists(again.study.records(), METRIC)
    assert (ended.state, ended.values) == ("complete", (0.7, 10.0)[: len(search.metrics)])


def test_a_score_that_is_not_finite_is_never_the_best_so_far(tmp_path: Path) -> None:
    sweep_state = limited(tmp_path, lambda: 0.0)
    for value in (math.nan, 0.5):
        suggestion = sweep_state.ask()
        assert suggestion is not None
        sweep_state.advance(suggestion.number, TrialResult("complete", EpochScores(1, {METRIC: value})))
    assert sweep_state._best == (0.5, 1)


def test_the_training_time_of_a_trial_that_waited_when_the_driver_died_counts_once(tmp_path: Path) -> None:
    halving = {"scheduler": "halving", "grace_epochs": 1}
    sweep_state = limited(tmp_path, lambda: 0.0, **halving)
    suggestion = sweep_state.ask()
    assert suggestion is not None
    waits = TrialResult("running", EpochScores(1, {METRIC: 0.5}), seconds=5.0)
    assert sweep_state.advance(suggestion.number, waits)
    again = limited(tmp_path, lambda: 0.0, **halving)
    assert again.budget_tracker.trial_s == 5.0
    other = again.ask()
    assert other is not None and again.advance(other.number, replace(waits, seconds=2.0))
    promoted = again.ask()
    assert promoted is not None
    again.advance(promoted.number, TrialResult("complete", EpochScores(2, {METRIC: 0.6}), seconds=9.0))
    assert again.budget_tracker.trial_s == 9.0 + (2.0 if promoted.number == suggestion.number else 5.0)


def test_the_training_time_of_a_trial_that_the_budget_interrupts_counts_in_a_later_start(tmp_path: Path) -> None:
    sweep_state = limited(tmp_path, lambda: 0.0)
    suggestion = sweep_state.ask()
    assert suggestion is not None
    trains = TrialResult("running", EpochScores(1, {METRIC: 0.5}), seconds=5.0)
    sweep_state.report(suggestion.number, trains)
    sweep_state.store_seconds()
    again = limited(tmp_path, lambda: 0.0)
    assert again.budget_tracker.trial_s == 5.0
    assert again.ask() == suggestion
    again.report(suggestion.number, replace(trains, last=EpochScores(2, {METRIC: 0.6}), seconds=7.0))
    assert again.budget_tracker.trial_s == 7.0


def limited(folder: Path, clock: Callable[[], float], **search: Any) -> SweepState:
    """Return a sweep of two trials with a budget of 10 s."""
    config = SearchConfig.model_validate(
        {"trials": 2, "metric": METRIC, "scheduler": "none", "budget": {"wall": 10}} | search
    )
    space = Space((Dimension("optim.lr", "log", 1e-4, 1e-2),))
    study = Study.open(folder, config, name="x", space=space, base={}, stages=5, epochs=9, same={})
    return SweepState(study, config, BudgetTracker(config, TrialShape(1, 1, 0.0), clock=clock), 9, 2, ignore)


@pytest.mark.parametrize(("end_s", "is_cut"), [(9.0, False), (11.0, True)])
def test_a_budget_stops_a_sweep_only_before_its_last_trial_ended(tmp_path: Path, end_s: float, is_cut: bool) -> None:
    seconds = [0.0]
    sweep_state = limited(tmp_path, lambda: seconds[-1])
    for _ in range(2):
        suggestion = sweep_state.ask()
        assert suggestion is not None
        assert sweep_state.budget_stop is None
        seconds.append(end_s if suggestion.number else 1.0)
        status = "running" if seconds[-1] == 11.0 else "complete"
        assert sweep_state.advance(suggestion.number, TrialResult(status, EpochScores(1, {METRIC: 0.5})))
    seconds.append(20.0)  # replicates and the refit
    assert sweep_state.budget_stop == ("search.budget.wall of 10 s is spent" if is_cut else None)


def test_a_budget_that_is_spent_before_a_trial_ended_says_how_to_resume(tmp_path: Path) -> None:
    seconds = [0.0]
    sweep_state = limited(tmp_path, lambda: seconds[-1])
    suggestion = sweep_state.ask()
    assert suggestion is not None
    sweep_state.report(suggestion.number, TrialResult("running", EpochScores(1, {METRIC: 0.5})))
    with pytest.raises(TrainingError, match=r"no trial ended with a score; the reasons are in .*raytl\.log"):
        _check_outcome(sweep_state, tmp_path)
    seconds.append(11.0)
    text = r"search\.budget\.wall of 10 s is spent, and no trial ended with a score(.|\n)*larger budget .* to resume"
    with pytest.raises(TrainingError, match=text):
        _check_outcome(sweep_state, tmp_path)


def test_an_epoch_that_a_distributed_trial_repeats_at_its_end_is_reported_once(tmp_path: Path) -> None:
    search = SearchConfig.model_validate({"trials": 1, "metric": METRIC, "scheduler": "none"})
    experiment = Experiment.model_validate({"name": "x", "data": {"uri": "d"}, "model": {"name": "m"}})
    space, heard = space_of(experiment).resolved(5), Recorder()
    study = Study.open(tmp_path, search, name="x", space=space, base={}, stages=5, epochs=9, same={})
    sweep_state = SweepState(study, search, BudgetTracker(search, TrialShape(2, 1, 0.0)), 9, 1, heard)
    suggestion = sweep_state.ask()
    assert suggestion is not None
    result = TrialResult("running", EpochScores(1, {METRIC: 0.5}), seconds=1.0)
    assert not sweep_state.advance(suggestion.number, result)
    assert sweep_state.advance(suggestion.number, replace(result, status="complete", is_repeat=True))
    states = [(event.epoch, event.state) for event in heard.events if isinstance(event, TrialChanged)]
    assert states == [(0, "running"), (1, "running"), (1, "complete")]


@pytest.mark.parametrize("scheduler", ["asha", "halving"])
def test_a_sweep_that_cannot_gain_more_than_the_noise_ends_with_its_running_trials(
    tmp_path: Path, scheduler: str
) -> None:
    search = SearchConfig.model_validate(
        {"trials": 40, "metric": METRIC, "scheduler": scheduler, "sampler": "random", "grace_epochs": 1, "reduction": 2}
    )
    experiment = Experiment.model_validate({"name": "x", "data": {"uri": "d"}, "model": {"name": "m"}})
    space, heard, running = space_of(experiment).resolved(5), Recorder(), 3

    def opened() -> SweepState:
        study = Study.open(tmp_path, search, name="x", space=space, base={}, stages=5, epochs=2, same={})
        return SweepState(study, search, BudgetTracker(search, TrialShape(1, 1, 0.0)), 2, 40, heard)

    sweep_state = opened()
    sweep_state.noise_stop = NoiseStop(tmp_path, METRIC, lambda _: 0.3, ignore)
    first = [sweep_state.ask() for _ in range(running)]
    waiting = [each for each in first if each is not None]
    while waiting:
        suggestion = waiting.pop(0)
        is_end = False
        for epoch in (1, 2):
            if not is_end:
                value = 0.5 + suggestion.number / 1000
                result = TrialResult("running" if epoch == 1 else "complete", EpochScores(epoch, {METRIC: value}))
                is_end = sweep_state.advance(suggestion.number, result)
        while len(waiting) < running and (suggested := sweep_state.ask()) is not None:
            waiting.append(suggested)
    records = sweep_state.study.records()
    assert sweep_state.stop is not None
    assert MIN_TRIALS <= sweep_state.stop.ended <= len(records) < 40
    assert len(records) == total_of(tmp_path, search).trials == sweep_state.total
    assert {record.state for record in records} <= {"complete", "pruned"}
    again = opened()
    again.study.trials = total_of(tmp_path, search).trials
    assert again.ask() is None


def test_a_sweep_does_not_stop_while_its_first_points_run(tmp_path: Path) -> None:
    search = SearchConfig.model_validate({"trials": 40, "metric": METRIC, "scheduler": "none", "sampler": "random"})
    experiment = Experiment.model_validate({"name": "x", "data": {"uri": "d"}, "model": {"name": "m"}})
    space = space_of(experiment).resolved(5)
    study = Study.open(tmp_path, search, name="x", space=space, base={}, stages=5, epochs=1, same={})
    sweep_state = SweepState(study, search, BudgetTracker(search, TrialShape(1, 1, 0.0)), 1, 40, ignore)
    sweep_state.noise_stop = NoiseStop(tmp_path, METRIC, lambda _: 1.0, ignore)
    slow = sweep_state.ask()
    assert slow is not None and slow.source != "sampler"
    result = TrialResult("complete", EpochScores(1, {METRIC: 0.5}))
    for _ in range(20):
        suggestion = sweep_state.ask()
        assert suggestion is not None
        sweep_state.tell(suggestion.number, result)
    sweep_state.tell(slow.number, result)
    assert sweep_state.ask() is None
