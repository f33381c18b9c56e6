"""The folder of an embedded Ray: removed at the end, and where its process was killed, by the next one that starts."""

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
"""Ray lets everybody write in its folder, so it is one level below a folder that only this user can enter."""
_SOCKET_BYTES = 107
"""The longest path of a Unix socket (unix(7))."""
_LONGEST = f"/{_PREFIX}12345678/{_INNER}/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""The longest path that Ray binds a socket to, below the folder for temporary files."""
_SHORT = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - folders in them are made by mkdtemp
_GRACE_S = 3600.0
"""Age at which a folder without an owner was left by a kill, and is not one that is just being made."""


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A new folder, short enough for Ray's sockets, that no other user can reach; it exists inside.

    Raises:
        UserError: no folder for temporary files is short and writable.
    """
    remove_left_behind()
    folder, lock = _made(base())
    try:
        (folder / _INNER).mkdir(mode=0o700)
        yield folder / _INNER
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def base(others: Sequence[str] = _SHORT) -> Path:
    """Return the folder for temporary files, or the first of `others` where its path is too long for Ray's sockets.

    Raises:
        UserError: none of them is short and writable.
    """
    wanted = tempfile.gettempdir()
    chosen = next((place for place in (wanted, *others) if _fits(place) and os.access(place, os.W_OK | os.X_OK)), None)
    reservation = _SOCKET_BYTES - len(_LONGEST)
    if chosen is None:
        raise UserError(
            f"TMPDIR: {wanted} is too long for Ray's sockets, or not writable, and so are {', '.join(others)}; expected a "
            f"writable folder whose path has at most {reservation} bytes. Set TMPDIR to one."
        )
    if chosen != wanted:
        logging.getLogger("raytl").info(
            "TMPDIR %s is too long for Ray's sockets (at most %d bytes); Ray's files go to %s",
            wanted,
            reservation,
            chosen,
        )
    return Path(chosen)


def _fits(folder: str) -> bool:
    return len(os.fsencode(folder)) + len(_LONGEST) <= _SOCKET_BYTES


def _made(place: Path) -> tuple[Path, int]:
    """Return a new folder in `place` and its lock, which the kernel releases when this process dies."""
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    lock = os.open(folder / _LOCK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    if os.fstat(lock).st_nlink:
        return folder, lock
    os.close(lock)  # another process found the file before it was locked, and removed the folder
    return _made(place)


def remove_left_behind(places: Sequence[str] = (), now: Callable[[], float] = time.time) -> None:
    """Remove the folders of this user's processes that died without removing them, in `places` or wherever they are made.

    Nothing here waits or follows links.
    """
    for place in places or dict.fromkeys((tempfile.gettempdir(), *_SHORT)):
        for folder in Path(place).glob(f"{_PREFIX}*"):
            with contextlib.suppress(OSError):
                if _is_ours(folder.lstat(), stat.S_ISDIR):
                    _remove_if_dead(folder, now)


def _remove_if_dead(folder: Path, now: Callable[[], float]) -> None:
    try:
        handle = os.open(folder / _LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if now() - folder.lstat().st_mtime > _GRACE_S and not _has_sockets(folder):
            shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        if _is_ours(os.fstat(handle), stat.S_ISREG):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)


def _is_ours(status: os.stat_result, kind: Callable[[int], bool]) -> bool:
    return status.st_uid == os.geteuid() and kind(status.st_mode)


def _has_sockets(folder: Path) -> bool:
    """Return whether a process has a socket in the folder, as each Ray session does; True where the system cannot tell."""
    try:
        return f" {folder}/" in Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
