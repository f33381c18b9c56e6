"""Complete or absent, whatever dies when."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from raytl.run import atomic

Exchange = Callable[[Path, Path], bool]


def no_exchange(one: Path, other: Path) -> bool:
    """Stands for a system that cannot exchange two names."""
    return False


def _folder(path: Path, text: str) -> Path:
    path.mkdir(parents=True)
    (path / "file").write_text(text)
    return path


def test_a_write_makes_its_folders_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "a" / "b.txt", "hällo")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "hällo".encode()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


def test_a_write_that_fails_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x.json"
    atomic.write_json(target, {"a": 1})

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"x.json: the disk is full; expected 13 bytes free"):
        atomic.write_json(target, {"a": 2})
    assert json.loads(target.read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_written_files_are_readable_by_others(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        atomic.write_text(tmp_path / "x", "")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644


def test_json_is_strict(tmp_path: Path) -> None:
    atomic.write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert (tmp_path / "x.json").read_text() == '{\n  "loss": null\n}\n'


@pytest.mark.parametrize("exchange", [atomic.exchange, no_exchange])
def test_a_folder_takes_the_place_of_another(exchange: Exchange, tmp_path: Path) -> None:
    final = _folder(tmp_path / "last", "old")
    atomic.replace_dir(_folder(tmp_path / "tmp", "new"), final, exchange)
    assert (final / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_a_folder_takes_a_place_that_was_empty(tmp_path: Path) -> None:
    atomic.replace_dir(_folder(tmp_path / "tmp", "new"), tmp_path / "deep" / "last")
    assert (tmp_path / "deep" / "last" / "file").read_text() == "new"


def test_a_death_between_the_two_renames_is_settled_with_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final, new = _folder(tmp_path / "last", "old"), _folder(tmp_path / "tmp", "new")
    real = Path.rename

    def dies(source: Path, target: Path) -> Path:
        if source == new:
            raise RuntimeError("died here")
        return real(source, target)

    monkeypatch.setattr(Path, "rename", dies)
    with pytest.raises(RuntimeError, match="died here"):
        atomic.replace_dir(new, final, no_exchange)
    monkeypatch.setattr(Path, "rename", real)
    assert not final.exists()
    atomic.recover_dir(final)
    assert (final / "file").read_text() == "old"


def test_settling_a_whole_folder_removes_what_was_set_aside(tmp_path: Path) -> None:
    final = _folder(tmp_path / "last", "new")
    _folder(tmp_path / ".last.old", "old")
    atomic.recover_dir(final)
    assert (final / "file").read_text() == "new"
    assert not (tmp_path / ".last.old").exists()
