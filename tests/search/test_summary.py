"""The files of a sweep beside its study."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from raytl.config.search import SearchConfig
from raytl.errors import ConfigError
from raytl.run.atomic import write_json
from raytl.search.stopping import Stop
from raytl.search.summary import SUMMARY, TOTAL, SweepResult, Total, is_finished, total_of


def finished() -> SweepResult:
    """Return a result with one trial."""
    return SweepResult(
        folder="/cache/x", status="finished", trials={"complete": 1}, best_number=0, best_value=0.5, metric="val/accuracy",
        overrides={}, winner_number=0, reason="it is the only one", sweep_score=0.5, replicates=[], refit_score=None,
        soup=None, experiment_file="/cache/x/winner.yaml", run="s3://bucket/x-winner", report="/cache/x/report.html",
        csv="/cache/x/trials.csv", seconds=1.0, next="raytl evaluate s3://bucket/x-winner",
    )  # fmt: skip


def test_a_result_moves_with_its_sweep_and_leaves_the_run_in_place() -> None:
    result = finished()
    moved = result.moved("/cache/x", "s3://bucket/x")
    assert (moved.folder, moved.report) == ("s3://bucket/x", "s3://bucket/x/report.html")
    assert (moved.csv, moved.experiment_file) == ("s3://bucket/x/trials.csv", "s3://bucket/x/winner.yaml")
    assert (moved.run, moved.next, moved.reason) == (result.run, result.next, result.reason)


STOPPED = Total(14, planned=64, stop=Stop(12, 50, 0.01, 0.02))


def search(trials: int = 64, stop: str = "noise", sampler: str = "tpe") -> SearchConfig:
    return SearchConfig.model_validate({"trials": trials, "stop": stop, "sampler": sampler})


@pytest.mark.parametrize(
    ("stored", "config", "add", "expected"),
    [
        (None, search(), 0, Total(64)),
        (Total(64), search(16), 0, Total(64)),
        (Total(64), search(80), 0, Total(80)),
        (Total(64), search(), 16, Total(80, planned=64, added=16)),
        (Total(80, planned=64), search(), 0, Total(80, planned=64)),
        (Total(80, planned=64), search(70), 0, Total(80)),
        (STOPPED, search(), 0, STOPPED),
        (STOPPED, search(), 6, Total(20, planned=64, added=6)),
        (STOPPED, search(80), 0, Total(80)),
        (STOPPED, search(stop="never"), 0, Total(64)),
    ],
)
def test_the_number_of_trials(
    tmp_path: Path, stored: Total | None, config: SearchConfig, add: int, expected: Total
) -> None:
    if stored is not None:
        write_json(tmp_path / TOTAL, asdict(stored))
    assert total_of(tmp_path, config, add) == expected


@pytest.mark.parametrize(
    ("ended", "add", "trials"), [(0, 4, 14), (10, 4, 14), (13, 4, 14), (13, 8, 18), (13, 0, 14), (14, 4, 18)]
)
def test_trials_that_were_added_and_did_not_end_are_not_added_again(
    tmp_path: Path, ended: int, add: int, trials: int
) -> None:
    write_json(tmp_path / TOTAL, asdict(total_of(tmp_path, search(10), 4)))
    if ended:
        write_json(tmp_path / SUMMARY, asdict(finished()) | {"trials": {"complete": ended}})
    assert total_of(tmp_path, search(10), add).trials == trials


def test_a_sweep_that_stopped_is_finished_until_more_trials_are_planned(tmp_path: Path) -> None:
    assert not is_finished(tmp_path, search())
    write_json(tmp_path / TOTAL, asdict(STOPPED))
    write_json(tmp_path / SUMMARY, asdict(finished()) | {"trials": {"complete": 10, "pruned": 4}})
    assert is_finished(tmp_path, search())
    assert not is_finished(tmp_path, search(80))
    assert not is_finished(tmp_path, search(stop="never"))


def test_a_sweep_with_trials_that_its_budget_interrupted_is_not_finished(tmp_path: Path) -> None:
    for trials, expected in (({"complete": 10, "running": 4}, False), ({"complete": 10, "pruned": 4}, True)):
        write_json(tmp_path / SUMMARY, asdict(finished()) | {"trials": trials})
        assert is_finished(tmp_path, search(14)) is expected


def test_a_grid_has_no_more_trials_than_points_and_is_finished_with_them(tmp_path: Path) -> None:
    grid, total = search(sampler="grid"), Total(6, limit=6)
    assert total_of(tmp_path, grid, limit=6) == total
    write_json(tmp_path / TOTAL, asdict(total))
    write_json(tmp_path / SUMMARY, asdict(finished()) | {"trials": {"complete": 4, "pruned": 1}})
    assert not is_finished(tmp_path, grid)
    write_json(tmp_path / SUMMARY, asdict(finished()) | {"trials": {"complete": 5, "pruned": 1}})
    assert is_finished(tmp_path, grid)
    assert not is_finished(tmp_path, search()), "another sampler has more to suggest"
    with pytest.raises(ConfigError, match=r"--add: found 4, .*no more points: the sweep runs 6 trials"):
        total_of(tmp_path, grid, add=4)


def test_trials_that_are_added_to_a_grid_end_with_its_points(tmp_path: Path) -> None:
    grid = search(10, sampler="grid")
    added = Total(12, planned=10, added=2, limit=12)
    write_json(tmp_path / TOTAL, asdict(Total(10, limit=12)))
    assert total_of(tmp_path, grid, add=4) == added
    write_json(tmp_path / TOTAL, asdict(added))
    write_json(tmp_path / SUMMARY, asdict(finished()) | {"trials": {"complete": 10}})
    assert total_of(tmp_path, grid, add=4) == total_of(tmp_path, grid) == added, "interrupted, it resumes"


def test_a_grid_to_which_an_earlier_version_added_more_than_its_points_resumes(tmp_path: Path) -> None:
    write_json(tmp_path / TOTAL, {"trials": 68, "planned": 64, "stop": None, "added": 4})
    assert total_of(tmp_path, search(sampler="grid"), limit=6) == Total(6, planned=64, limit=6)
