"""Provenance says what is needed to make a run again, and keeps the host's name to itself."""

from __future__ import annotations

import json
import platform
import subprocess
from pathlib import Path

import pytest

from raytl.run import provenance as module
from raytl.run.provenance import git_state, provenance, version


def _git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


def test_provenance_has_versions_hardware_and_the_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    facts = provenance(seed=7)
    assert facts["seed"] == 7
    assert {"python", "raytl", "torch", "timm", "ray"} <= set(facts["packages"])
    assert facts["packages"]["torch"] == version("torch")
    assert facts["cpu"]["cores"] >= 1
    assert facts["git"] is None
    assert f'"{platform.node()}"' not in json.dumps(facts)


def test_a_package_that_is_not_there_has_no_version() -> None:
    assert version("no-such-package-at-all") is None


def test_git_tells_the_commit_and_whether_tracked_files_differ(tmp_path: Path) -> None:
    _git(tmp_path, "init")
    assert git_state(tmp_path) is None
    (tmp_path / "a.py").write_text("1")
    _git(tmp_path, "add", "a.py")
    _git(tmp_path, "commit", "-m", "x")
    clean = git_state(tmp_path)
    assert clean is not None
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "new.txt").touch()
    assert git_state(tmp_path) == clean
    (tmp_path / "a.py").write_text("2")
    assert git_state(tmp_path) == {"commit": clean["commit"], "dirty": True}


def test_gpus_are_read_from_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'NVIDIA H200, 143771 MiB, 570.1'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance(0)["gpus"] == [{"name": "NVIDIA H200", "memory": "143771 MiB", "driver": "570.1"}]


def test_no_driver_is_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance(0)["gpus"] == []


def test_a_user_without_a_name_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr(module.getpass, "getuser", nobody)
    assert module.user() == "unknown"
