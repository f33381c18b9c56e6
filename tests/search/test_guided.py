"""Suggestions near the experiment, from ranks, and from earlier sweeps; the same again after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raytl.config.search import SearchConfig
from raytl.errors import RunError
from raytl.search import guided
from raytl.search.prior import Prior, PriorSweep, PriorTrial
from raytl.search.protocol import EpochScores, Suggestion, TrialResult
from raytl.search.study import Study
from tests.search.test_study import EPOCHS, STAGES, default_space, finish, run

BASE: dict[str, Any] = {
    "transfer.unfreeze": "all", "transfer.lr_decay": 0.8, "transfer.head_lr_ratio": 3.0, "augment.strength": 0.5,
    "optim.lr": 1e-3, "optim.weight_decay": 0.05,
}  # fmt: skip
BEST = {**BASE, "transfer.unfreeze": 3, "optim.lr": 4e-3}


def opened(folder: Path, prior: Prior = Prior(), **search: Any) -> Study:  # noqa: B008 - a frozen value
    folder.mkdir(exist_ok=True)
    return Study.open(
        folder,
        SearchConfig(**{"trials": 16, "scheduler": "none", **search}),
        name="toy",
        space=default_space(),
        base=BASE,
        stages=STAGES,
        epochs=EPOCHS,
        same={"data": "one"},
        prior=prior,
    )


def earlier() -> Prior:
    """An earlier sweep that was the better, the closer to the lr of `BEST`."""
    rates = [4e-3 * 0.8**n for n in range(15)]
    trials = [PriorTrial({**BEST, "optim.lr": rate}, n / 14) for n, rate in enumerate(rates)]
    return Prior((PriorSweep("old-sweep", tuple(trials)),))


def from_sampler(suggestions: list[Suggestion]) -> list[dict[str, Any]]:
    return [dict(one.overrides) for one in suggestions if one.source == "sampler"]


def test_the_first_suggestions_after_the_recipes_are_near_the_experiment(tmp_path: Path) -> None:
    drawn = [
        values
        for seed in range(6)
        for values in from_sampler(run(opened(tmp_path / str(seed), trials=7, seed=seed), epochs=1))
    ]
    assert len(drawn) == 12
    assert all(values["transfer.unfreeze"] >= STAGES - 1 for values in drawn)
    assert len({values["optim.lr"] for values in drawn}) == 12


def test_a_sampler_that_models_nothing_is_left_alone(tmp_path: Path) -> None:
    drawn = from_sampler(run(opened(tmp_path, trials=30, sampler="random"), epochs=1))
    assert {values["transfer.unfreeze"] for values in drawn} >= {0, 1, 2, 3}


@pytest.mark.parametrize("sampler", ["tpe", pytest.param("gp", marks=pytest.mark.thorough)])
def test_a_sweep_with_a_prior_that_was_killed_suggests_the_same_trials(tmp_path: Path, sampler: str) -> None:
    whole = run(opened(tmp_path / "whole", earlier(), sampler=sampler, trials=12), epochs=1)
    parts: list[Suggestion] = []
    while (
        suggestion := (study := opened(tmp_path / "parts", earlier(), sampler=sampler, trials=12)).ask()
    ) is not None:
        parts.append(suggestion)
        finish(study, suggestion, 1)
    assert parts == whole
    assert len(from_sampler(whole)) >= 4


def test_the_best_of_earlier_sweeps_come_right_after_the_experiment_as_it_is(tmp_path: Path) -> None:
    first = run(opened(tmp_path, earlier(), trials=8), epochs=1)
    assert [one.source for one in first] == [
        "the experiment as it is", "earlier sweep: old-sweep", "recipe: upper half with decay", "recipe: linear probe",
        *["sampler"] * 4,
    ]  # fmt: skip
    assert first[1].overrides == BEST


def test_earlier_sweeps_without_recipes_are_the_first_points(tmp_path: Path) -> None:
    first = run(opened(tmp_path, earlier(), trials=2, recipes=False), epochs=1)
    assert [one.source for one in first] == ["earlier sweep: old-sweep", "sampler"]


def test_earlier_trials_pull_suggestions_to_where_they_were_good(tmp_path: Path) -> None:
    def depths(prior: Prior) -> Iterator[int]:
        for seed in range(3):
            study = opened(tmp_path / f"{bool(prior.sweeps)}{seed}", prior, trials=12, seed=seed)
            yield from (values["transfer.unfreeze"] for values in from_sampler(list(flat(study))))

    near, without = list(depths(earlier())), list(depths(Prior()))
    assert sum(depth == 3 for depth in near) / len(near) > 2 * sum(depth == 3 for depth in without) / len(without)


def flat(study: Study) -> Iterator[Suggestion]:
    """Run a study whose trials all score the same, so that it learns nothing of its own."""
    while (suggestion := study.ask()) is not None:
        study.report(suggestion.number, TrialResult("running", EpochScores(1, {"val/balanced_accuracy": 0.5})))
        study.tell(suggestion.number, "complete", TrialResult("complete"))
        yield suggestion


def test_a_stopped_trial_can_count_as_better_than_a_complete_one(tmp_path: Path) -> None:
    study = opened(tmp_path, trials=40, scheduler="asha", recipes=False)
    ended = []
    while (suggestion := study.ask()) is not None and len(ended) < 9:
        good = suggestion.overrides["transfer.unfreeze"] >= 2
        result = TrialResult("running", EpochScores(1, {"val/balanced_accuracy": 0.9 if good else 0.1}))
        study.report(suggestion.number, result)
        study.tell(suggestion.number, "pruned" if good else "complete", result)
        ended.append(good)
    own = list(study.guide.scored(study.study))
    best = [trial.params["transfer.unfreeze"] for trial in own if trial.value and trial.value > 0.5]
    assert best and min(best) >= 2


def test_a_sweep_does_not_resume_with_another_prior(tmp_path: Path) -> None:
    run(opened(tmp_path, earlier(), trials=3), epochs=1)
    with pytest.raises(RunError, match=r"search\.prior: [0-9a-f]{16} -> -"):
        opened(tmp_path, trials=3)


def test_of_very_many_trials_the_best_and_an_even_choice_are_modeled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = opened(tmp_path, trials=24, sampler="random")
    run(study, epochs=1)
    every = [trial.value or 0.0 for trial in study.guide.scored(study.study)]
    monkeypatch.setattr(guided, "MOST_OWN", 9)
    few = [trial.value or 0.0 for trial in study.guide.scored(study.study)]
    assert (len(every), len(few)) == (24, 9)
    assert sorted(few)[-3:] == sorted(every)[-3:]
    assert min(few) < sorted(every)[4]
