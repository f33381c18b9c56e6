"""A grid: every point of a finite space once, whatever came before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raytl.config.space import Condition, Dimension, Space
from raytl.errors import ConfigError
from raytl.search import grid
from raytl.search.suggest import suggest
from tests.search.test_study import BASE, opened, run

FINITE = Space((Dimension("transfer.unfreeze", "int", 0, 2), Dimension("augment.strength", "choice", choices=(0, 0.5))))


@pytest.mark.parametrize(("sampler", "recipes"), [("grid", True), ("grid", False), ("BruteForceSampler", True)])
def test_each_point_of_a_grid_is_suggested_once(tmp_path: Path, sampler: str, recipes: bool) -> None:
    search: dict[str, Any] = {"sampler": sampler, "trials": 100, "recipes": recipes, "space": FINITE}
    study = opened(tmp_path, **search)
    first = [study.ask() for _ in range(2)]
    study = opened(tmp_path, **search)  # the driver was killed while two trials ran
    suggestions = run(study, epochs=1)
    assert [one and one.overrides for one in first] == [one.overrides for one in suggestions[:2]]
    assert suggestions[0].source == ("the experiment as it is" if recipes else "sampler")
    points = [(depth, strength) for depth in range(3) for strength in (0, 0.5)]
    assert sorted(tuple(one.overrides.values()) for one in suggestions) == points
    assert (study.counts(), study.limit) == ((6, 0), 6)


def test_a_grid_has_one_point_for_all_values_of_a_key_whose_condition_does_not_hold(tmp_path: Path) -> None:
    batch = Dimension("train.batch_size", "choice", choices=(8, 16), when=Condition("transfer.unfreeze", ">", 2.0))
    space = Space((Dimension("transfer.unfreeze", "int", 0, 3), batch))
    suggestions = run(opened(tmp_path, sampler="grid", trials=100, space=space), epochs=1)
    assert sorted(tuple(one.overrides.values()) for one in suggestions) == [(0,), (1,), (2,), (3, 8), (3, 16)]


def test_a_grid_whose_earlier_start_repeated_points_runs_the_missing_ones(tmp_path: Path) -> None:
    search: dict[str, Any] = {"sampler": "grid", "trials": 100, "recipes": False, "space": FINITE}
    study = opened(tmp_path, **search)
    for _ in range(6):  # as Optuna's grid did, which knew nothing of the first points
        study.study.enqueue_trial({"transfer.unfreeze": 1, "augment.strength": 0.5})
        trial = study.study.ask()
        trial.set_user_attr("overrides", suggest(trial, FINITE, BASE))
        study.study.tell(trial.number, 0.5)
    study = opened(tmp_path, **search)
    assert len(run(study, epochs=1)) == 5
    assert (study.counts(), study.limit) == ((11, 0), 11)


def test_a_grid_with_too_many_points_is_refused_before_the_study_is_stored(tmp_path: Path) -> None:
    keys = ("optim.name", "train.loss", "augment.strength", "train.batch_size", "transfer.unfreeze")
    space = Space(tuple(Dimension(key, "choice", choices=tuple(range(20))) for key in keys))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "MOST_POINTS", 1000)
        with pytest.raises(ConfigError, match=r"search\.sampler: .*grid of more than 1,000 points"):
            opened(tmp_path, sampler="grid", space=space)
    assert not list(tmp_path.iterdir())


def test_a_grid_over_a_continuous_space_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="GridSampler needs a finite space; .*optim.lr"):
        opened(tmp_path, sampler="grid")
