"""The temporary directory of an embedded Ray, removed at exit; if its process was killed, the next session removes it."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from raytl.errors import UserError

_PREFIX = "raytl-ray-"
_LOCK = "owner.lock"
_INNER = "r"
"""Ray makes its directory world-writable, so it lies one level below a directory that only this user can enter."""
_SOCKET_BYTES = 107
"""The maximum length of a Unix socket path (unix(7))."""
_LONGEST = f"/{_PREFIX}12345678/{_INNER}/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""The longest socket path that Ray uses below the temporary directory."""
_FALLBACKS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - mkdtemp creates the directories in them
_GRACE_S = 3600.0
"""Age from which a directory without an owner is stale rather than just being created."""


@contextlib.contextmanager
def ray_temp_dir() -> Iterator[Path]:
    """Create a directory with a path short enough for Ray's sockets, private to this user; remove it at the end.

    Raises:
        UserError: no temporary directory is short and writable.
    """
    remove_stale()
    folder, lock = _create(temp_root())
    try:
        (folder / _INNER).mkdir(mode=0o700)
        yield folder / _INNER
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def temp_root(others: Sequence[str] = _FALLBACKS) -> Path:
    """Return the temporary directory, or the first of `others` if its path is too long for Ray's sockets.

    Raises:
        UserError: none of them is short and writable.
    """
    wanted = tempfile.gettempdir()
    chosen = next((place for place in (wanted, *others) if _fits(place) and os.access(place, os.W_OK | os.X_OK)), None)
    max_bytes = _SOCKET_BYTES - len(_LONGEST)
    if chosen is None:
        raise UserError(
            f"TMPDIR: {wanted} and {', '.join(others)} are too long for Ray's sockets or not writable; expected a writable "
            f"directory with a path of at most {max_bytes} bytes. Set TMPDIR to one."
        )
    if chosen != wanted:
        logging.getLogger("raytl").info(
            "TMPDIR %s is too long for Ray's sockets (at most %d bytes); Ray writes its files to %s",
            wanted,
            max_bytes,
            chosen,
        )
    return Path(chosen)


def _fits(folder: str) -> bool:
    return len(os.fsencode(folder)) + len(_LONGEST) <= _SOCKET_BYTES


def _create(place: Path) -> tuple[Path, int]:
    """Create a directory in `place`; return it with its lock, which the kernel releases when this process dies."""
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    lock = os.open(folder / _LOCK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    if os.fstat(lock).st_nlink:
        return folder, lock
    os.close(lock)  # another process removed the directory before the lock was taken
    return _create(place)


def remove_stale(places: Sequence[str] = (), now: Callable[[], float] = time.time) -> None:
    """Remove the directories that this user's dead processes left in `places` (by default all candidates).

    Never blocks and never follows links.
    """
    for place in places or dict.fromkeys((tempfile.gettempdir(), *_FALLBACKS)):
        for folder in Path(place).glob(f"{_PREFIX}*"):
            with contextlib.suppress(OSError):
                if _is_own(folder.lstat(), stat.S_ISDIR):
                    _remove_if_dead(folder, now)


def _remove_if_dead(folder: Path, now: Callable[[], float]) -> None:
    try:
        handle = os.open(folder / _LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if now() - folder.lstat().st_mtime > _GRACE_S and not _has_sockets(folder):
            shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        if _is_own(os.fstat(handle), stat.S_ISREG):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)


def _is_own(status: os.stat_result, kind: Callable[[int], bool]) -> bool:
    return status.st_uid == os.geteuid() and kind(status.st_mode)


def _has_sockets(folder: Path) -> bool:
    """Return True if a process has a socket in the directory, as each Ray session does, or if the system cannot tell."""
    try:
        return f" {folder}/" in Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
