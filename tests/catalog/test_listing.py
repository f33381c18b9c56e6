"""Runs and sweeps below a folder or bucket, each with its state; what is damaged is listed with the reason."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from raytl.catalog.entry import Entry
from raytl.catalog.listing import list_runs
from raytl.data.manifest import dataset_digest, snapshot_id
from raytl.errors import RunError
from raytl.run.owner import sole_owner
from raytl.store.holder import Holder
from tests.catalog.conftest import BASE, METRIC, SAMPLES, put, put_run
from tests.security.stored_sweeps import RESULT

NOW = datetime(2026, 3, 4, tzinfo=UTC)
FAILURE = {"when": "2026-01-03T00:00:00+00:00", "error": "TrainingError", "text": "the loss is NaN"}


def listed(uri: str | Path) -> dict[str, Entry]:
    return {entry.name: entry for entry in list_runs(str(uri), now=NOW)}


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.s3)])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder, or a prefix in a bucket."""
    return str(tmp_path / "runs") if request.param == "folder" else f"s3://{request.getfixturevalue('bucket')}/runs"


def test_a_finished_run_has_the_metrics_of_its_best_epoch_and_its_data(root: str) -> None:
    put_run(f"{root}/one")
    [entry] = list_runs(root)
    assert (entry.uri, entry.name, entry.kind, entry.state) == (f"{root}/one", "one", "run", "finished")
    assert (entry.metric, entry.value, entry.done, entry.total) == (METRIC, 0.75, 2, 12)
    assert (entry.model, entry.snapshot) == ("resnet18", snapshot_id(dataset_digest(SAMPLES)))
    assert entry.updated


def test_an_interrupted_run_has_its_best_epoch_so_far(root: str) -> None:
    put_run(f"{root}/one", (0.5, 0.9, 0.7), finished=False)
    put_run(f"{root}/none", (), finished=False)
    torn = '{"epoch": 1, "val/log_loss": 0.3}\n{"epoch": 2, "val/log_loss": 0.2}\n{"epo'
    put_run(
        f"{root}/loss", finished=False, experiment={"train": {"metric": "val/log_loss"}}, files={"metrics.jsonl": torn}
    )
    found = listed(root)
    assert (found["one"].state, found["one"].value, found["one"].done) == ("interrupted", 0.9, 3)
    assert (found["none"].state, found["none"].value) == ("interrupted", None)
    assert (found["loss"].value, found["loss"].done) == (0.2, 2)


def test_a_failed_run_has_its_error(root: str) -> None:
    put_run(f"{root}/one", finished=False, files={"failure.json": FAILURE})
    put_run(f"{root}/two", files={"failure.json": FAILURE})
    found = listed(root)
    assert (found["one"].state, found["one"].note) == ("failed", "TrainingError: the loss is NaN")
    assert (found["two"].state, found["two"].note) == ("finished", "")


def test_a_run_whose_lock_is_held_is_running(tmp_path: Path) -> None:
    put_run(str(tmp_path / "one"), finished=False, files={"failure.json": FAILURE})
    with sole_owner(tmp_path / "one"):
        assert listed(tmp_path)["one"].state == "running"


@pytest.mark.s3
def test_a_run_in_a_bucket_whose_lease_is_renewed_is_running(bucket: str) -> None:
    renewed = (NOW - timedelta(seconds=30)).isoformat()
    holder = asdict(Holder(1, "t", "node-2", 7, "another boot", 1, 5, renewed))
    put_run(f"s3://{bucket}/one", finished=False, files={"lease.json": holder})
    put_run(f"s3://{bucket}/two", finished=False, files={"lease.json": {**holder, "given_back": True}})
    found = listed(f"s3://{bucket}")
    assert (found["one"].state, found["two"].state) == ("running", "interrupted")


def test_a_sweep_is_one_entry_with_the_data_of_its_winner(root: str) -> None:
    sweep: dict[str, Any] = {"experiment.yaml": str(BASE), "trials.json": {"trials": 9}, "summary.json": RESULT}
    put(f"{root}/x-sweep", sweep)
    put_run(f"{root}/x-sweep/trials/trial-1")
    put_run(f"{root}/x-winner")
    put(f"{root}/y-sweep", {"experiment.yaml": str(BASE | {"search": {"metric": "val/accuracy"}})})
    found = listed(root)
    assert set(found) == {"x-sweep", "x-winner", "y-sweep"}
    entry = found["x-sweep"]
    assert (entry.kind, entry.state, entry.value, entry.total) == ("sweep", "finished", RESULT["best_value"], 9)
    assert entry.snapshot == found["x-winner"].snapshot != ""
    assert (found["y-sweep"].state, found["y-sweep"].metric, found["y-sweep"].value) == (
        "interrupted",
        "val/accuracy",
        None,
    )


def test_trials_that_a_budget_interrupted_have_not_ended(root: str) -> None:
    stopped = RESULT | {
        "status": "stopped by budget",
        "trials": {"complete": 3, "pruned": 2, "failed": 1, "running": 2},
    }
    put(f"{root}/x-sweep", {"experiment.yaml": str(BASE), "trials.json": {"trials": 9}, "summary.json": stopped})
    [entry] = list_runs(root)
    assert (entry.state, entry.done, entry.total) == ("finished", 6, 9)


def test_an_epoch_without_the_metric_is_done_too(root: str) -> None:
    put_run(f"{root}/one", (0.5, None, 0.4), finished=False)
    [entry] = list_runs(root)
    assert (entry.done, entry.value) == (3, 0.5)


@pytest.mark.parametrize("when", ["lease", "failure"])
def test_a_run_in_a_bucket_changed_last_when_its_lease_was_renewed_or_it_failed(tmp_path: Path, when: str) -> None:
    uri, last = f"memory://{tmp_path}", (NOW - timedelta(hours=1)).isoformat()
    given_back = asdict(Holder(1, "t", "node-2", 7, "another boot", 1, 5, last, given_back=True))
    files = {"lease": {"lease.json": given_back}, "failure": {"failure.json": FAILURE | {"when": last}}}[when]
    put_run(f"{uri}/long", finished=False, files=files)
    put_run(f"{uri}/later", experiment={}, files={"lease.json": {**given_back, "renewed": "never"}})
    [first, second] = list_runs(uri, now=NOW)
    assert (first.name, first.age_s(NOW)) == ("long", 3600)
    assert second.updated == "2026-01-02T03:04:05+00:00", "the time of its start is all that is stored"


def test_one_that_cannot_be_read_is_listed_with_the_reason(root: str) -> None:
    put_run(f"{root}/good")
    put_run(f"{root}/cut", files={"manifest.json": b'{"format": 1, '})
    put_run(f"{root}/code", files={"experiment.yaml": "name: !!python/name:os.system ''\n"})
    found = listed(root)
    assert {name: entry.state for name, entry in found.items()} == {
        "good": "finished", "cut": "unreadable", "code": "unreadable",
    }  # fmt: skip
    assert "manifest.json" in found["cut"].note


def test_a_run_itself_and_runs_in_deeper_folders_are_found(root: str) -> None:
    put_run(f"{root}/team/year/one")
    assert [entry.uri for entry in list_runs(f"{root}/team/year/one")] == [f"{root}/team/year/one"]
    assert [entry.name for entry in list_runs(root)] == ["one"]


def test_the_last_changed_comes_first(tmp_path: Path) -> None:
    import os

    for name, seconds in (("old", 1000), ("new", 2000)):
        put_run(str(tmp_path / name))
        for path in (tmp_path / name).iterdir():
            os.utime(path, (seconds, seconds))
    found = list_runs(str(tmp_path))
    assert [entry.name for entry in found] == ["new", "old"]
    assert found[0].age_s(datetime.fromtimestamp(2060, UTC)) == 60


def test_a_place_without_runs_is_empty_and_a_missing_folder_an_error(tmp_path: Path) -> None:
    assert list_runs(str(tmp_path)) == []
    with pytest.raises(RunError, match="gone: no such folder; expected a folder with runs"):
        list_runs(str(tmp_path / "gone"))
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="file: found a file"):
        list_runs(str(tmp_path / "file"))


def test_an_entry_of_unknown_age_has_none() -> None:
    assert Entry("x", "x", "run", "finished").age_s(NOW) is None


def test_links_into_nowhere_and_giant_files_are_listed_beside_the_others(tmp_path: Path) -> None:
    for name in ("good", "dangling", "gone"):
        put_run(str(tmp_path / name))
    put_run(str(tmp_path / "giant"), finished=False)
    (tmp_path / "dangling" / "clock.json").symlink_to("/nonexistent")
    (tmp_path / "gone" / "experiment.yaml").unlink()
    (tmp_path / "gone" / "experiment.yaml").symlink_to("/nonexistent")
    with (tmp_path / "giant" / "metrics.jsonl").open("wb") as file:
        file.truncate(1 << 40)
    entries = listed(tmp_path)
    assert {name: entry.state for name, entry in entries.items()} == {
        "good": "finished", "dangling": "finished", "gone": "unreadable", "giant": "unreadable",
    }  # fmt: skip


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01", "soon"])
def test_a_time_that_no_calendar_has_gives_no_age(time: str) -> None:
    assert Entry("a", "a", "run", "running", updated=time).age_s(NOW) is None or time == "0001-01-01"
