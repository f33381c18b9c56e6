"""Whole commands on a small disk that is full: the sentence, nothing half-written, and the same command goes on later."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import TINY, Raytl
from tests.conftest import write_photos


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a disk of so many bytes, or skips where this user may not."""
    place = tmp_path / "disk"
    place.mkdir()

    def mounted(size: int) -> Path:
        asked = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if shutil.which("mount") is None or os.geteuid() != 0 or subprocess.run(asked, check=False).returncode:
            pytest.skip("only root may mount a small disk")
        return place

    yield mounted
    if os.path.ismount(place):
        subprocess.run(["umount", str(place)], check=True)


def _fill(disk: Path, free: int) -> Path:
    """Leave so many bytes free."""
    (disk / "fill").write_bytes(bytes(shutil.disk_usage(disk).free - free))
    return disk / "fill"


@pytest.mark.thorough
@pytest.mark.parametrize("cluster", ["none", pytest.param("embedded", marks=pytest.mark.ray)])
def test_a_run_whose_disk_fills_at_a_checkpoint_goes_on_when_there_is_space(
    cluster: str, raytl: Raytl, tmp_path: Path, small_disk: Callable[[int], Path]
) -> None:
    disk = small_disk(8 << 20)
    write_photos(tmp_path / "photos")
    (tmp_path / "tiny.yaml").write_text(TINY.replace("cluster: none", f"cluster: {cluster}"))
    words = ("train", tmp_path / "tiny.yaml", "--set", f"storage.uri={disk}/runs")
    fill = _fill(disk, 2_500_000)  # room for the best checkpoint of the first epoch, not for the last one
    ended = raytl(*words)
    assert ended.code == 1
    assert "the disk is full; expected" in ended.err
    assert "Traceback" not in ended.err + ended.out
    run = disk / "runs" / "tiny"
    assert not [path for path in run.rglob("*") if ".tmp" in path.name or path.name.startswith(".raytl-part")]
    fill.unlink()
    assert raytl(*words).code == 0


@pytest.mark.thorough
def test_an_evaluation_whose_disk_fills_before_its_report_finishes_its_look_later(
    raytl: Raytl, tmp_path: Path, small_disk: Callable[[int], Path]
) -> None:
    disk = small_disk(16 << 20)
    write_photos(tmp_path / "photos", per_class=12)
    (tmp_path / "tiny.yaml").write_text(TINY.replace("{uri: photos}", "{uri: photos, test_fraction: 0.3}"))
    assert raytl("train", tmp_path / "tiny.yaml", "--set", f"storage.uri={disk}/runs").code == 0
    run = disk / "runs" / "tiny"
    fill = _fill(disk, 12_000)  # room for the ledger's line, not for the pictures
    ended = raytl("evaluate", run)
    assert ended.code == 1
    assert "the disk is full; expected" in ended.err
    assert names(run / "evaluation") == []
    fill.unlink()
    done = raytl("evaluate", run)
    assert done.code == 0, done.err
    assert "completing evaluation 1 of the test split" in done.err
    assert json.loads((run / "evaluation" / "test" / "report.json").read_text())["look"] == 1
