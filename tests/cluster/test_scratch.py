"""The folder of an embedded Ray goes when its process does, however that ended."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from raytl.cluster.scratch import base, remove_left_behind, scratch
from raytl.errors import UserError


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files whose path is short enough for sockets, which that of `tmp_path` is not."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_it_is_there_inside_and_gone_after(temporary: Path) -> None:
    with scratch() as folder:
        (folder / "session").mkdir()
        remove_left_behind()
        assert (folder / "session").exists(), "one that is in use was removed"
    assert not list(temporary.iterdir())


def test_rays_own_folder_is_below_one_that_only_this_user_can_enter(temporary: Path) -> None:
    with scratch() as folder:
        folder.chmod(0o777)  # as Ray does
        (private,) = temporary.iterdir()
        assert folder.parent == private
        assert stat.S_IMODE(private.stat().st_mode) == 0o700


def test_a_folder_without_an_owner_goes_once_it_is_too_old_to_be_just_made(temporary: Path) -> None:
    left = temporary / "raytl-ray-left"
    (left / "session_1" / "sockets").mkdir(parents=True)
    remove_left_behind([str(temporary)], lambda: time.time() + 60)
    assert left.exists()
    remove_left_behind([str(temporary)], lambda: time.time() + 4000)
    assert not left.exists()


def test_a_folder_without_an_owner_stays_while_a_process_has_a_socket_in_it(temporary: Path) -> None:
    left = temporary / "raytl-ray-live"
    left.mkdir()
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(left / "s"))
        remove_left_behind([str(temporary)], lambda: time.time() + 4000)
        assert left.exists()
    remove_left_behind([str(temporary)], lambda: time.time() + 4000)
    assert not left.exists()


def test_only_plain_folders_of_this_user_are_looked_at(temporary: Path) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "owner.lock").touch()
    (temporary / "raytl-ray-link").symlink_to(elsewhere)
    (temporary / "raytl-ray-file").touch()
    (temporary / "raytl-ray-fifo").mkdir()
    os.mkfifo(temporary / "raytl-ray-fifo" / "owner.lock")
    (temporary / "raytl-ray-lock-link").mkdir()
    (temporary / "raytl-ray-lock-link" / "owner.lock").symlink_to(elsewhere / "owner.lock")
    before = sorted(path.relative_to(temporary) for path in temporary.rglob("*"))
    remove_left_behind([str(temporary)], lambda: time.time() + 1e6)
    assert sorted(path.relative_to(temporary) for path in temporary.rglob("*")) == before


def test_folders_of_other_users_are_left_alone(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (temporary / "raytl-ray-theirs").mkdir()
    (temporary / "raytl-ray-theirs" / "owner.lock").touch()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    remove_left_behind([str(temporary)], lambda: time.time() + 1e6)
    assert (temporary / "raytl-ray-theirs" / "owner.lock").exists()


def test_one_that_is_removed_before_it_is_locked_is_made_anew(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, removed = fcntl.flock, list[Path]()

    def flock(handle: int, how: int) -> None:
        if not removed and (made := list(temporary.glob("raytl-ray-*"))):
            shutil.rmtree(made[0])
            removed.extend(made)
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with scratch() as folder:
        assert folder.is_dir()
    assert len(removed) == 1


def test_a_temporary_folder_too_long_for_sockets_is_replaced_by_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/" + "t" * 40)
    with caplog.at_level("INFO", logger="raytl"):
        assert base(("/nowhere", "/tmp")) == Path("/tmp")
    assert f"TMPDIR /{'t' * 40} is too long for Ray's sockets (at most 22 bytes); Ray's files go to /tmp" in caplog.text
    with pytest.raises(UserError, match=r"^TMPDIR: /t+ is too long .* at most 22 bytes\. Set TMPDIR to one\.$"):
        base(("/nowhere", str(tmp_path)))


def test_a_short_temporary_folder_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/dev/shm")
    assert base() == Path("/dev/shm")


def test_what_a_killed_process_left_is_removed_by_the_next(temporary: Path) -> None:
    script = (
        "import os, signal\n"
        "from raytl.cluster.scratch import scratch\n"
        "with scratch():\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "TMPDIR": str(temporary)}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(list(temporary.glob("raytl-ray-*"))) == 1
    remove_left_behind()
    assert not list(temporary.glob("raytl-ray-*"))
