"""A draft is renamed or removed: by its writer, or after a kill by the next sweep."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from raytl.store.drafts import drafted, is_draft, sweep
from raytl.store.files import atomic_write

KILLED = """
import os, signal, sys
from pathlib import Path
from raytl.store.drafts import drafted
with drafted(Path(sys.argv[1])) as file, drafted(Path(sys.argv[2]), folder=True) as folder:
    file.write_text("half")
    (folder / "part").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_drafts_of_killed_writers_are_swept_and_of_live_ones_stay(tmp_path: Path) -> None:
    (tmp_path / "whole.json").write_text("{}")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "whole.json"), str(tmp_path / "deep" / "last")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    left = [*(path for path in tmp_path.iterdir() if is_draft(path.name)), *(tmp_path / "deep").iterdir()]
    assert len(left) == 2
    with drafted(tmp_path / "new") as file, drafted(tmp_path / "deep" / "new", folder=True) as folder:
        (folder / "part").touch()
        assert sorted(sweep(tmp_path)) == sorted(left)
        assert file.exists()
        assert (folder / "part").exists()
    assert names(tmp_path) == ["deep", "whole.json"]
    assert names(tmp_path / "deep") == []


def test_a_shallow_sweep_leaves_drafts_in_subfolders(tmp_path: Path) -> None:
    for name in (".a.01234567.tmp", "deep/.a.01234567.tmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert sweep(tmp_path, deep=False) == [tmp_path / ".a.01234567.tmp"]
    assert names(tmp_path / "deep") == [".a.01234567.tmp"]


@pytest.mark.parametrize("name", [".raytl-part-4711-0badcafe", ".best.tmp", ".last.tmp", ".report.json.0badcafe.tmp"])
def test_drafts_of_earlier_versions_are_swept(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert sweep(tmp_path) == [tmp_path / name]


@pytest.mark.parametrize(
    "name",
    [
        ".notes.tmp", ".tmp", "a.01234567.tmp", ".a.0123456.tmp", ".a.0123456G.tmp", ".a.01234567.tmp.bak", ".01234567.tmp",
        ".raytl-part-lock", ".lock", ".env", ".git", "best.tmp", ".a.01234567.tmp\n",
    ],
)  # fmt: skip
def test_hidden_files_of_others_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert sweep(tmp_path) == []
    assert names(tmp_path) == [name]


def test_nothing_but_plain_files_and_folders_of_this_user_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    protected = tmp_path / "protected"
    protected.mkdir()
    (protected / "file").touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / ".link.01234567.tmp").symlink_to(protected)
    (folder / ".file.01234567.tmp").symlink_to(protected / "file")
    os.mkfifo(folder / ".fifo.01234567.tmp")
    assert sweep(folder) == []
    (folder / ".theirs.01234567.tmp").touch()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert sweep(folder) == []
    assert len(names(folder)) == 4
    assert names(protected) == ["file"]


def test_a_draft_that_is_swept_before_it_is_locked_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, gone = fcntl.flock, list[Path]()

    def flock(handle: int, how: int) -> None:
        if len(gone) < 2:
            (draft,) = tmp_path.iterdir()
            gone.append(draft)
            shutil.rmtree(draft) if draft.is_dir() else draft.unlink()
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with drafted(tmp_path / "file") as draft:
        assert draft.exists()
        assert draft not in gone
    gone[1:] = []
    with drafted(tmp_path / "folder", folder=True) as draft:
        assert draft.is_dir()
    assert len(gone) == 2


def test_without_locks_drafts_are_written_and_none_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(handle: int, how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with drafted(tmp_path / "file") as draft:
        assert sweep(tmp_path) == []
        assert draft.exists()


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "写" * 85])
def test_names_as_long_as_the_system_allows_can_be_written(tmp_path: Path, name: str) -> None:
    with atomic_write(tmp_path / name) as part:
        part.write_text("all")
        assert is_draft(part.name)
    assert names(tmp_path) == [name]


@pytest.mark.parametrize(("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_the_mode_of_a_draft_follows_the_umask(tmp_path: Path, umask: int, file: int, folder: int) -> None:
    before = os.umask(umask)
    try:
        with drafted(tmp_path / "a") as one, drafted(tmp_path / "b", folder=True) as other:
            assert stat.S_IMODE(one.stat().st_mode) == file
            assert stat.S_IMODE(other.stat().st_mode) == folder
    finally:
        os.umask(before)


def test_an_error_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(FileNotFoundError, match="nowhere"), atomic_write(tmp_path / "file") as part:
        part.write_bytes((tmp_path / "nowhere").read_bytes())
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "old"
