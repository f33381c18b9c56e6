"""What stays on disk is what the winner is chosen from."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.config.schema import Experiment, SearchConfig
from raytl.config.space import space_of
from raytl.events import Recorder, TrialChanged, ignore
from raytl.search.budget import BudgetTracker
from raytl.search.plan import TrialShape
from raytl.search.record import finalists
from raytl.search.study import Study
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
        asked = sweep_state.ask()
        assert asked is not None
        folder = tmp_path / "trials" / f"trial-{number}"
        for name in ("best", "last"):
            (folder / "checkpoints" / name).mkdir(parents=True)
        value = 0.5 if state == "complete" else 0.8 + number / 100
        result = {"epoch": 1, "metrics": {METRIC: value}, "folder": str(folder), "seconds": 1.0}
        sweep_state.report(asked.number, 1, result)
        sweep_state.tell(asked.number, state, result)
    (kept,) = [path.parents[1].name for path in tmp_path.glob("trials/trial-*/checkpoints/best")]
    first = finalists(study.records(), METRIC)[0]
    assert (kept, first.state) == (Path(first.folder).name, "complete" if "complete" in ends else "pruned")
    assert not list(tmp_path.glob("trials/trial-*/checkpoints/last"))


def test_epochs_that_no_process_lived_to_tell_are_told_when_the_trial_goes_on(tmp_path: Path) -> None:
    search = SearchConfig.model_validate({"trials": 1, "metric": METRIC, "scheduler": "none"})
    experiment = Experiment.model_validate({"name": "x", "data": {"uri": "d"}, "model": {"name": "m"}})
    space = space_of(experiment).resolved(5)

    def opened() -> SweepState:
        study = Study.open(tmp_path, search, name="x", space=space, base={}, stages=5, epochs=9, same={})
        return SweepState(study, search, BudgetTracker(search, TrialShape(1, 1, 0.0)), 9, 1, ignore)

    sweep_state = opened()
    asked = sweep_state.ask()
    assert asked is not None
    sweep_state.report(asked.number, 1, {"epoch": 1, "metrics": {METRIC: 0.5}, "folder": "", "seconds": 1.0})
    again = opened()
    assert again.ask() is not None
    earlier = [(1, {METRIC: 0.5}), (2, {METRIC: 0.9}), (3, {METRIC: 0.6})]
    result = {"epoch": 4, "metrics": {METRIC: 0.7}, "earlier": earlier, "folder": "", "seconds": 4.0}
    again.report(asked.number, 4, result)
    (record,) = again.study.records()
    assert record.curve == ((1, 0.5), (2, 0.9), (3, 0.6), (4, 0.7))
    assert (record.values, record.best_epoch) == ((0.9,), 2)


def test_an_epoch_that_a_gang_repeats_at_its_end_is_told_once(tmp_path: Path) -> None:
    search = SearchConfig.model_validate({"trials": 1, "metric": METRIC, "scheduler": "none"})
    experiment = Experiment.model_validate({"name": "x", "data": {"uri": "d"}, "model": {"name": "m"}})
    space, heard = space_of(experiment).resolved(5), Recorder()
    study = Study.open(tmp_path, search, name="x", space=space, base={}, stages=5, epochs=9, same={})
    sweep_state = SweepState(study, search, BudgetTracker(search, TrialShape(2, 1, 0.0)), 9, 1, heard)
    asked = sweep_state.ask()
    assert asked is not None
    last = {"epoch": 1, "metrics": {METRIC: 0.5}, "folder": "", "seconds": 1.0}
    sweep_state.report(asked.number, 1, last)
    sweep_state.report(asked.number, 1, last | {"repeats": True})
    sweep_state.tell(asked.number, "complete", last)
    told = [(event.epoch, event.state) for event in heard.events if isinstance(event, TrialChanged)]
    assert told == [(0, "running"), (1, "running"), (1, "complete")]
