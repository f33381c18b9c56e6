"""CPUs of a machine, and of containers that may use a part of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raytl.cpus import usable_cpus


@pytest.fixture(autouse=True)
def sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("max 100000", 16),
        ("200000 100000", 2),
        ("250000 100000", 3),
        ("50000 100000", 1),
        ("6400000 100000", 16),
        ("", 16),
        ("0 0", 16),
    ],
)
def test_the_quota_of_a_container_limits_the_cpus(tmp_path: Path, content: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(content)
    assert usable_cpus(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("400000", 4), ("-1", 16)])
def test_the_first_version_of_cgroups_is_read_too(tmp_path: Path, quota: str, expected: int) -> None:
    folder = tmp_path / "cpu"
    folder.mkdir()
    (folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cpus(tmp_path) == expected


def test_a_machine_without_cgroups_has_all_of_its_cpus(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path) == 16
