"""A run is being written to where its lock is held, or its lease is renewed."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from raytl.catalog.writer import is_locked, is_renewed
from raytl.run.owner import sole_owner
from raytl.store.holder import Holder, this_process

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ELSEWHERE = Holder(1, "t", "node-2", 7, "another boot", 1, 5, NOW.isoformat())


def test_the_lock_of_a_folder_is_seen_and_left_alone(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    with sole_owner(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_a_lease_of_another_machine_counts_while_it_is_renewed() -> None:
    assert is_renewed(ELSEWHERE, NOW + timedelta(seconds=60))
    assert not is_renewed(ELSEWHERE, NOW + timedelta(seconds=180))
    assert not is_renewed(replace(ELSEWHERE, given_back=True), NOW)
    assert not is_renewed(replace(ELSEWHERE, renewed="yesterday"), NOW)
    assert not is_renewed(None)


@pytest.mark.parametrize("is_here", [True, False])
def test_a_lease_of_this_machine_counts_while_its_process_lives(is_here: bool) -> None:
    process = this_process()
    if not process.boot:
        pytest.skip("this machine does not name its boot")
    holder = replace(
        ELSEWHERE, host=process.host, boot=process.boot, pid=process.pid, started=process.started + (not is_here)
    )
    assert is_renewed(holder, NOW + timedelta(days=1)) is is_here


@pytest.mark.parametrize("kind", ["fifo", "endless", "huge"])
def test_a_lock_that_is_no_small_file_is_not_read_to_its_end(kind: str, tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    if kind == "fifo":
        os.mkfifo(lock)
    elif kind == "endless":
        lock.symlink_to("/dev/zero")
    else:
        with lock.open("wb") as file:
            file.truncate(1 << 40)
    assert not is_locked(tmp_path)
