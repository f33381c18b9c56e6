"""The study reports the true state of each trial to Optuna, and suggests the same trials after it was killed."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from raytl.config.schema import Experiment
from raytl.config.search import SearchConfig
from raytl.config.space import Space, space_of
from raytl.errors import ConfigError, RunError
from raytl.search.protocol import EpochScores, Suggestion, TrialResult
from raytl.search.study import Study

STAGES = 5
EPOCHS = 9
BASE: dict[str, Any] = {"transfer.unfreeze": 2, "optim.name": "adamw"}


def default_space() -> Space:
    experiment = Experiment.model_validate({"name": "x", "data": {"uri": "d"}, "model": {"name": "resnet18"}})
    return space_of(experiment).resolved(STAGES)


RATES = Space(tuple(d for d in default_space().dimensions if d.key == "optim.lr"))


def opened(folder: Path, *, space: Space | None = None, same: str = "one", **search: Any) -> Study:
    config = SearchConfig(**{"trials": 8, **search})
    space = space or default_space()
    return Study.open(
        folder, config, name="toy", space=space, base=BASE, stages=STAGES, epochs=EPOCHS, same={"data": same}
    )


def score(suggestion: Suggestion) -> float:
    return (
        0.5
        + 0.05 * suggestion.overrides.get("transfer.unfreeze", 0)
        - abs(suggestion.overrides.get("optim.lr", 1e-3) - 1e-3)
    )


def run(study: Study, epochs: int = 3) -> list[Suggestion]:
    """Run every remaining trial, one after the other."""
    suggestions = []
    while (suggestion := study.ask()) is not None:
        suggestions.append(suggestion)
        finish(study, suggestion, epochs)
    return suggestions


def finish(study: Study, suggestion: Suggestion, epochs: int = 3) -> None:
    for epoch in range(1, epochs + 1):
        if study.report(suggestion.number, after(epoch, {"val/balanced_accuracy": score(suggestion) * epoch / epochs})):
            study.tell(suggestion.number, "pruned", TrialResult("running", seconds=1.0))
            return
    study.tell(suggestion.number, "complete", TrialResult("complete", seconds=1.0))


def after(epoch: int, metrics: dict[str, float]) -> TrialResult:
    return TrialResult("running", EpochScores(epoch, metrics))


def reopened(folder: Path) -> optuna.Study:
    """The study as Optuna's own tools open it."""
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "study.log"))
    return optuna.load_study(study_name="toy", storage=optuna.storages.JournalStorage(backend))


def test_the_recipes_come_first_and_then_the_sampler(tmp_path: Path) -> None:
    suggestion = run(opened(tmp_path, scheduler="none"))
    assert [one.source for one in suggestion[:5]] == [
        "the experiment as it is", "recipe: upper half with decay", "recipe: linear probe", "recipe: last stage",
        "recipe: full with decay",
    ]  # fmt: skip
    assert [one.overrides["transfer.unfreeze"] for one in suggestion[:5]] == [2, STAGES // 2, 0, 1, STAGES]
    assert "transfer.lr_decay" not in suggestion[2].overrides
    assert len(suggestion) == 8


def test_a_trial_that_trained_to_its_end_is_complete_with_its_best_value(tmp_path: Path) -> None:
    study = opened(tmp_path)
    suggestion = study.ask()
    assert suggestion is not None
    for epoch, value in ((1, 0.5), (2, 0.8), (3, 0.7)):
        study.report(suggestion.number, after(epoch, {"val/balanced_accuracy": value}))
    study.tell(suggestion.number, "complete", TrialResult("complete", seconds=2.0, trainable=10))
    trial = reopened(tmp_path).trials[0]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.8)
    assert trial.intermediate_values == {1: 0.5, 2: 0.8, 3: 0.7}
    (record,) = study.records()
    assert (record.state, record.values, record.best_epoch, record.epochs) == ("complete", (0.8,), 2, 3)


def test_a_trial_that_was_stopped_is_pruned_with_its_last_value(tmp_path: Path) -> None:
    study = opened(tmp_path)
    suggestion = study.ask()
    assert suggestion is not None
    study.report(suggestion.number, after(1, {"val/balanced_accuracy": 0.4}))
    study.tell(suggestion.number, "pruned", TrialResult("running"))
    trial = reopened(tmp_path).trials[0]
    assert (trial.state, trial.value) == (TrialState.PRUNED, 0.4)


def test_a_failed_trial_has_a_reason_and_no_value(tmp_path: Path) -> None:
    study = opened(tmp_path)
    suggestion = study.ask()
    assert suggestion is not None
    study.report(suggestion.number, after(1, {"val/balanced_accuracy": 0.4}))
    study.tell(suggestion.number, "failed", TrialResult("failed", reason="the loss became nan"))
    trial = reopened(tmp_path).trials[0]
    assert (trial.state, trial.value) == (TrialState.FAIL, None)
    assert study.records()[0].reason == "the loss became nan"
    assert study.records()[0].values is None


def test_a_value_that_is_not_finite_stops_the_trial_and_is_not_stored(tmp_path: Path) -> None:
    study = opened(tmp_path)
    suggestion = study.ask()
    assert suggestion is not None
    assert study.report(suggestion.number, after(1, {"val/balanced_accuracy": float("nan")}))
    assert reopened(tmp_path).trials[0].intermediate_values == {}


def test_telling_and_reporting_twice_changes_nothing(tmp_path: Path) -> None:
    study = opened(tmp_path)
    suggestion = study.ask()
    assert suggestion is not None
    for _ in range(2):
        study.report(suggestion.number, after(1, {"val/balanced_accuracy": 0.4}))
    study.tell(suggestion.number, "complete", TrialResult("complete"))
    study.tell(suggestion.number, "failed", TrialResult("failed"))
    assert [trial.state for trial in reopened(tmp_path).trials if trial.user_attrs.get("best")] == [TrialState.COMPLETE]


def test_trials_that_fall_behind_are_stopped(tmp_path: Path) -> None:
    study = opened(tmp_path, trials=12)
    run(study, epochs=9)
    states = {record.state for record in study.records()}
    assert states == {"complete", "pruned"}


def test_a_cohort_waits_at_each_rung_and_its_best_resume_together(tmp_path: Path) -> None:
    study = opened(tmp_path, trials=9, scheduler="halving", recipes=False, sampler="random", space=RATES)
    waited, complete = [], []
    while (suggestion := study.ask()) is not None:
        last_rung = study.record(suggestion.number).epochs
        for epoch in range(last_rung + 1, EPOCHS + 1):
            if study.report(
                suggestion.number, after(epoch, {"val/balanced_accuracy": score(suggestion) * epoch / EPOCHS})
            ):
                waited.append(epoch)
                assert not study.tell(suggestion.number, "pruned", TrialResult("running"))
                break
        else:
            complete.append(suggestion.number)
            assert study.tell(suggestion.number, "complete", TrialResult("complete"))
    assert waited == [2] * 9 + [6] * 3
    records = study.records()
    assert {record.state for record in records} == {"pruned", "complete"}
    assert [record.state for record in records].count("pruned") == 8
    assert complete == [max(records, key=lambda r: score(Suggestion(0, r.overrides, ""))).number]


def test_killed_halving_resumes_as_an_undisturbed_one(tmp_path: Path) -> None:
    given = {"trials": 11, "scheduler": "halving"}
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = opened(tmp_path / "whole", **given)
    run(whole, EPOCHS)
    for _ in range(30):  # every start asks one trial, trains it to its rung or its end, and is killed
        killed = opened(tmp_path / "killed", **given)
        suggestion = killed.ask()
        if suggestion is None:
            break
        finish(killed, suggestion, EPOCHS)
    assert [(r.number, r.state, r.curve) for r in killed.records()] == [
        (r.number, r.state, r.curve) for r in whole.records()
    ]


def test_no_trial_is_stopped_without_a_scheduler(tmp_path: Path) -> None:
    study = opened(tmp_path, trials=6, scheduler="none")
    run(study, epochs=9)
    assert {record.state for record in study.records()} == {"complete"}


def test_a_killed_sweep_resumes_as_an_undisturbed_one(tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = opened(tmp_path / "whole", trials=14)
    run(whole)
    killed = opened(tmp_path / "killed", trials=14)
    for _ in range(12):
        suggestion = killed.ask()
        assert suggestion is not None
        finish(killed, suggestion)
    running = killed.ask()
    assert running is not None
    killed.report(running.number, after(1, {"val/balanced_accuracy": score(running) / 3}))
    again = opened(tmp_path / "killed", trials=14)  # the driver was killed in the middle of a trial
    resumed = again.ask()
    assert resumed is not None
    assert (resumed.number, resumed.overrides) == (running.number, running.overrides)
    finish(again, resumed)
    run(again)
    assert [(r.number, r.overrides, r.state, r.values) for r in again.records()] == [
        (r.number, r.overrides, r.state, r.values) for r in whole.records()
    ]


def test_trials_that_ended_are_not_suggested_again(tmp_path: Path) -> None:
    run(opened(tmp_path))
    assert opened(tmp_path).ask() is None
    assert len(run(opened(tmp_path, trials=10))) == 2


def test_a_study_of_another_space_is_refused_with_the_differences(tmp_path: Path) -> None:
    opened(tmp_path)
    smaller = Space(default_space().dimensions[:2])
    with pytest.raises(RunError, match=r"optim\.lr: log: 0\.0001 to 0\.01 \(log\) -> -"):
        opened(tmp_path, space=smaller)
    with pytest.raises(RunError, match="data: one -> two"):
        opened(tmp_path, same="two")


def test_a_study_resumes_though_keys_were_added_since_it_began(tmp_path: Path) -> None:
    study = partial(Study.open, tmp_path, SearchConfig(), name="toy", space=default_space(), base=BASE, stages=STAGES)
    study(epochs=EPOCHS, same={"data": "one"})
    newer = {"auxiliary.columns": [], "auxiliary.rotation": 0.0, "warmup.method": "none", "data.unlabelled": None}
    study(epochs=EPOCHS, same={"data": "one", "calibrate": "none", "transfer.fallback": "off", **newer})
    with pytest.raises(RunError, match=r"auxiliary.rotation: - -> 0.1"):
        study(epochs=EPOCHS, same={"data": "one", "auxiliary.rotation": 0.1})


def test_a_database_that_does_not_exist_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"search\.storage: .* cannot be opened"):
        opened(tmp_path, storage=f"sqlite:///{tmp_path}/nowhere/study.db")


def test_sqlite_stores_a_study_too(tmp_path: Path) -> None:
    run(opened(tmp_path, storage="sqlite", trials=5))
    stored = optuna.load_study(study_name="toy", storage=f"sqlite:///{tmp_path}/study.db")
    assert len(stored.trials) == 5


def test_in_a_database_each_sweep_has_a_study_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = optuna.storages.InMemoryStorage()
    monkeypatch.setattr("raytl.search.study.open_storage", lambda *_: database)
    old, first, second = (tmp_path / name for name in ("old", "first", "second"))
    for folder in (old, first, second):
        folder.mkdir()
    (old / "experiment.yaml").touch()  # it began before studies had names of their own
    for trials, folder in enumerate((old, first, second), 1):
        run(opened(folder, storage="mysql://host/db", trials=trials))
        (folder / "experiment.yaml").touch()
    reopened = [opened(folder, storage="mysql://host/db") for folder in (old, first, second)]
    assert [study.counts() for study in reopened] == [(1, 7), (2, 6), (3, 5)]
    names = [study.study.study_name for study in reopened]
    assert len(set(names)) == 3
    assert names[0] == "toy"
    assert all(name.startswith("toy-") for name in names[1:])


@pytest.mark.parametrize("sampler", ["random", "tpe", "qmc", "nsga2", "RandomSampler"])
def test_samplers_by_name(tmp_path: Path, sampler: str) -> None:
    assert len(run(opened(tmp_path, sampler=sampler, trials=5))) == 5


def test_an_unknown_sampler_is_refused_with_a_near_miss(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'random'"):
        opened(tmp_path, sampler="randem")


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (
            {"metric": ["val/accuracy", "cost/train_seconds"]},
            "cmaes optimizes one objective, and search.metric names 2",
        ),
        ({}, "cmaes needs a package that is not installed: .*; install it, or set search.sampler to tpe"),
    ],
)
def test_cmaes_is_refused_before_the_sweep_where_it_cannot_suggest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, search: dict[str, Any], expected: str
) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)
    with pytest.raises(ConfigError, match=expected):
        opened(tmp_path, sampler="cmaes", scheduler="none", **search)
    assert not list(tmp_path.iterdir())


def test_no_two_trials_are_the_same(tmp_path: Path) -> None:
    space = Space(tuple(d for d in default_space().dimensions if d.key in ("transfer.unfreeze", "augment.strength")))
    study = opened(tmp_path, space=space, trials=20, recipes=False, scheduler="none", sampler="random")
    seen = []
    while (suggestion := study.ask()) is not None:
        seen.append(tuple(suggestion.overrides.items()))
        study.report(suggestion.number, after(1, {"val/balanced_accuracy": 0.5}))
        study.tell(suggestion.number, "complete", TrialResult("complete"))
    assert len(set(seen)) >= 19


def test_several_objectives_give_a_pareto_front(tmp_path: Path) -> None:
    study = opened(tmp_path, metric=["val/accuracy", "cost/trainable_parameters"], scheduler="none", trials=5)
    while (suggestion := study.ask()) is not None:
        depth = suggestion.overrides["transfer.unfreeze"]
        study.report(
            suggestion.number, after(1, {"val/accuracy": 0.1 * depth, "cost/trainable_parameters": 10.0**depth})
        )
        study.tell(suggestion.number, "complete", TrialResult("complete"))
    assert 0 in [trial.number for trial in study.study.best_trials]
    assert all(record.values and len(record.values) == 2 for record in study.records())
