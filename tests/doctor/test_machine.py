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
    stub(tmp_path, "echo 'NVIDIA H200, 143771, 570.1, 0, Not Active'\necho 'NVIDIA H200, 143771, 570.1, 2, Active'")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert [(gpu.ecc_errors, gpu.throttled) for gpu in machine.inspect("x").gpus] == [(0, False), (2, True)]


@pytest.mark.parametrize(("vendor", "kind", "reported"), [("0x10de", "0x030200", True), ("0x10de", "0x040300", False)])
def test_a_failing_nvidia_smi_is_reported_if_the_machine_has_a_gpu(
    vendor: str, kind: str, reported: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(tmp_path, "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18")
    (tmp_path / "pci" / "0000:01:00.0").mkdir(parents=True)
    (tmp_path / "pci" / "0000:01:00.0" / "vendor").write_text(f"{vendor}\n")
    (tmp_path / "pci" / "0000:01:00.0" / "class").write_text(f"{kind}\n")
    monkeypatch.setattr(machine, "_PCI", tmp_path / "pci")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    report = machine.inspect("x")
    expected = "Failed to initialize NVML: Driver/library version mismatch" if reported else ""
    assert (report.gpus, report.gpu_error) == ((), expected)


def test_a_driver_that_knows_the_old_name_of_a_column_reports_its_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = 'echo "Field \\"clocks_event_reasons.hw_slowdown\\" is not a valid field to query."; exit 2'
    stub(tmp_path, f'case "$1" in *clocks_event*) {refusal};; esac\necho "Tesla T4, 15360, 525.1, 0, Active"')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert machine._gpus() == ((machine.Gpu("Tesla T4", 15360, "525.1", 0, True),), "")


def stub(folder: Path, script: str) -> None:
    """Write an nvidia-smi that runs `script`."""
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "nvidia-smi").chmod(0o755)
