"""The facts of a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.doctor import machine


def test_a_machine_reports_its_versions_disks_and_limits(own_cache: Path) -> None:
    facts = machine.inspect("here")
    assert facts.name == "here"
    assert set(facts.versions) >= {"python", *machine.PACKAGES} and all(facts.versions.values())
    assert {disk.use: disk.path for disk in facts.disks}["cache"] == str(own_cache)
    assert all(0 < disk.free_bytes <= disk.total_bytes for disk in facts.disks)
    assert facts.cpus > 0 and facts.open_files > 0 and facts.memory_bytes > 10**8


def test_a_cache_that_does_not_exist_yet_has_the_space_of_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "not" / "yet"))
    assert machine.inspect("here").disks[0].total_bytes == machine._disk("x", tmp_path).total_bytes


def test_checkouts_of_one_version_differ_by_their_code(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.py").write_text(name)
    assert machine._digest(tmp_path / "a") != machine._digest(tmp_path / "b")


def test_gpus_are_reported_by_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'NVIDIA H200, 143771, 570.1, 0, Not Active'\necho 'NVIDIA H200, 143771, 570.1, 2, Active'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert [(gpu.ecc_errors, gpu.throttled) for gpu in machine.inspect("x").gpus] == [(0, False), (2, True)]
    program.write_text("#!/bin/sh\nexit 9\n")
    assert machine.inspect("x").gpus == ()
