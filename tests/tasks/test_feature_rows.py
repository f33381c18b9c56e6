"""The feature cache on disk: built once, complete or absent, within its limit."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raytl.errors import DiskError
from raytl.tasks import feature_rows
from raytl.tasks.feature_rows import ensure

ROWS = torch.arange(40, dtype=torch.float32).view(10, 4)


def fill() -> Iterator[torch.Tensor]:
    yield from ROWS.split(3)


def counted(path: str) -> Iterator[torch.Tensor]:
    with Path(path).open("a") as file:
        file.write("built\n")
    yield from ROWS.split(3)


def ask(path: str) -> None:
    assert torch.equal(ensure("set", 10, lambda: counted(path), 1e9).take(np.array([3])), ROWS[[3]])


def waiting(processes: list[Any]) -> bool:
    """Return True if two of them wait for a lock."""
    pids = {str(process.pid) for process in processes}
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines() if "->" in line]
    return len(pids & {word for line in lines for word in line}) == 2


def killed_in_the_middle() -> None:
    def half() -> Iterator[torch.Tensor]:
        yield ROWS[:5]
        os.kill(os.getpid(), signal.SIGKILL)

    ensure("set", 10, half, 1e9)


def hold(path: str, began: Any, all_have: Any) -> None:
    def slowly() -> Iterator[torch.Tensor]:
        began.wait(20)  # while it is built, the others ask
        yield from counted(path)

    rows = ensure("set", 10, slowly, 1e9)
    all_have.wait(20)
    assert torch.equal(rows.take(np.array([3])), ROWS[[3]])


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_rows_come_back_as_they_were_in_any_order(kind: torch.dtype) -> None:
    rows = ensure("set", 10, lambda: iter([ROWS.to(kind)]), 1e9)
    assert torch.equal(rows.take(np.array([7, 0, 7])), ROWS.to(kind)[[7, 0, 7]])


def test_a_set_is_built_once_for_many_processes(tmp_path: Path) -> None:
    path = str(tmp_path / "count")
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=ask, args=(path,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert Path(path).read_text() == "built\n"


def test_a_process_that_waits_for_a_set_does_not_wait_for_its_users(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    began, all_have, path = fork.Event(), fork.Barrier(3), str(tmp_path / "count")
    processes = [fork.Process(target=hold, args=(path, began, all_have)) for _ in range(3)]
    for process in processes:
        process.start()
    asking = feature_rows.root() / "set.build"
    while not (asking.exists() and waiting(processes)):
        pass
    began.set()
    for process in processes:
        process.join(20)
    assert [process.exitcode for process in processes] == [0] * 3
    assert Path(path).read_text() == "built\n"


def test_the_set_of_a_killed_builder_is_built_by_the_next_process() -> None:
    process = multiprocessing.get_context("fork").Process(target=killed_in_the_middle)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert torch.equal(ensure("set", 10, fill, 1e9).take(np.arange(10)), ROWS)


def test_the_least_recently_used_set_is_evicted_but_none_in_use() -> None:
    held = ensure("held", 10, fill, 1e9)
    for name in ("old", "new"):
        ensure(name, 10, fill, 1e9)
    os.utime(feature_rows.root() / "held" / "card.json", (1, 1))
    os.utime(feature_rows.root() / "old" / "card.json", (2, 2))
    ensure("more", 10, fill, 3 * 160)
    there = {card.parent.name for card in feature_rows.root().glob("*/card.json")}
    assert there == {"held", "new", "more"}
    assert torch.equal(held.take(np.array([0])), ROWS[[0]])


def test_a_full_disk_leaves_no_partial_set_and_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> Iterator[torch.Tensor]:
        yield ROWS[:5]
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskError, match="the disk is full.*\n.*search.feature_cache"):
        ensure("set", 10, full, 1e9)
    assert not (feature_rows.root() / "set").exists()
