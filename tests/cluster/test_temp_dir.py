"""The temporary directory of an embedded Ray is removed with its process, however that ended."""

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

from raytl.cluster.temp_dir import ray_temp_dir, remove_stale, temp_root
from raytl.errors import UserError


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary directory whose path is short enough for sockets, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_the_directory_exists_inside_and_is_removed_after(temporary: Path) -> None:
    with ray_temp_dir() as folder:
        (folder / "session").mkdir()
        remove_stale()
        assert (folder / "session").exists(), "a directory in use was removed"
    assert not list(temporary.iterdir())


def test_rays_directory_is_below_one_that_only_this_user_can_enter(temporary: Path) -> None:
    with ray_temp_dir() as folder:
        folder.chmod(0o777)  # as Ray does
        (private,) = temporary.iterdir()
        assert folder.parent == private
        assert stat.S_IMODE(private.stat().st_mode) == 0o700


def test_a_directory_without_an_owner_is_removed_once_it_is_old(temporary: Path) -> None:
    left = temporary / "raytl-ray-left"
    (left / "session_1" / "sockets").mkdir(parents=True)
    remove_stale([str(temporary)], lambda: time.time() + 60)
    assert left.exists()
    remove_stale([str(temporary)], lambda: time.time() + 4000)
    assert not left.exists()


def test_a_directory_without_an_owner_stays_while_a_process_has_a_socket_in_it(temporary: Path) -> None:
    left = temporary / "raytl-ray-live"
    left.mkdir()
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(left / "s"))
        remove_stale([str(temporary)], lambda: time.time() + 4000)
        assert left.exists()
    remove_stale([str(temporary)], lambda: time.time() + 4000)
    assert not left.exists()


def test_links_files_and_fifos_are_left_alone(temporary: Path) -> None:
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
    remove_stale([str(temporary)], lambda: time.time() + 1e6)
    assert sorted(path.relative_to(temporary) for path in temporary.rglob("*")) == before


def test_directories_of_other_users_are_left_alone(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (temporary / "raytl-ray-theirs").mkdir()
    (temporary / "raytl-ray-theirs" / "owner.lock").touch()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    remove_stale([str(temporary)], lambda: time.time() + 1e6)
    assert (temporary / "raytl-ray-theirs" / "owner.lock").exists()


def test_a_directory_removed_before_it_is_locked_is_created_again(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, removed = fcntl.flock, list[Path]()

    def flock(handle: int, how: int) -> None:
        if not removed and (created := list(temporary.glob("raytl-ray-*"))):
            shutil.rmtree(created[0])
            removed.extend(created)
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with ray_temp_dir() as folder:
        assert folder.is_dir()
    assert len(removed) == 1


def test_a_temporary_directory_too_long_for_sockets_is_replaced_by_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/" + "t" * 40)
    with caplog.at_level("INFO", logger="raytl"):
        assert temp_root(("/nowhere", "/tmp")) == Path("/tmp")
    assert (
        f"TMPDIR /{'t' * 40} is too long for Ray's sockets (at most 22 bytes); Ray writes its files to /tmp"
        in caplog.text
    )
    with pytest.raises(
        UserError, match=r"^TMPDIR: /t+ and /nowhere, .* are too long .* at most 22 bytes\. Set TMPDIR to one\.$"
    ):
        temp_root(("/nowhere", str(tmp_path)))


def test_a_short_temporary_directory_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/dev/shm")
    assert temp_root() == Path("/dev/shm")


def test_the_directory_of_a_killed_process_is_removed_by_the_next(temporary: Path) -> None:
    script = (
        "import os, signal\n"
        "from raytl.cluster.temp_dir import ray_temp_dir\n"
        "with ray_temp_dir():\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "TMPDIR": str(temporary)}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(list(temporary.glob("raytl-ray-*"))) == 1
    remove_stale()
    assert not list(temporary.glob("raytl-ray-*"))
