from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

import pytest

from raytl.errors import RunError
from raytl.events import Recorder
from raytl.run.owner import set_aside, sole_owner
from raytl.store.drafts import drafted


def test_a_folder_in_which_another_works_is_not_set_aside(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with sole_owner(folder), pytest.raises(RunError, match=r"another raytl \(pid \d+\) is working in this folder"):
        set_aside(folder, Recorder())
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_that_nobody_owns_gets_the_next_free_name(tmp_path: Path) -> None:
    recorder = Recorder()
    for _ in range(2):
        with sole_owner(tmp_path / "run"):
            pass
        set_aside(tmp_path / "run", recorder)
    set_aside(tmp_path / "run", recorder)  # nothing is there
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.old-1", "run.old-2"]
    assert len(recorder.events) == 2


def test_an_owner_whose_folder_is_set_aside_meanwhile_owns_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, real, waiting = tmp_path / "run", fcntl.flock, [True]

    def flock(handle: Any, operation: int) -> None:
        if waiting and waiting.pop():
            folder.rename(tmp_path / "run.old-1")
        real(handle, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with sole_owner(folder), (folder / ".lock").open() as lock, pytest.raises(BlockingIOError, match="unavailable"):
        real(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_next_owner_sweeps_what_a_killed_one_left_half_written(tmp_path: Path) -> None:
    for name in (".metrics.jsonl.0badcafe.tmp", "trials/3/.report.json.1badcafe.tmp", "trials/3/.notes.tmp", ".env"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with drafted(tmp_path / "evaluation" / "test", folder=True) as live, sole_owner(tmp_path):
        assert live.exists(), "an evaluation writes beside the owner"
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [".env", ".lock", ".notes.tmp"]
