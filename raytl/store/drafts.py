"""Drafts: files and folders are written beside their final name, hidden and locked; the next owner removes leftovers.

.<name>.<8 hex digits>.tmp     a file or a folder; the kernel releases its writer's lock when that process dies
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

_DRAFT = re.compile(r"\..+\.[0-9a-f]{8}\.tmp|\.(best|last)\.tmp|\.raytl-part-\d+-[0-9a-f]+", re.DOTALL)
"""The second and third forms are from raytl 0.1.0."""
_NAME_BYTES = 200


def is_draft(name: str) -> bool:
    """Return whether a file or folder of this name is the draft of a live or a killed writer."""
    return _DRAFT.fullmatch(name) is not None


@contextlib.contextmanager
def drafted(final: Path, folder: bool = False) -> Iterator[Path]:
    """Yield a new empty file, or folder, to be renamed to `final`; at the end, remove it if it was not renamed.

    Its mode follows the umask, as for any file.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    draft, lock = _new_draft(final, folder)
    try:
        yield draft
    finally:
        _remove(draft, folder)
        os.close(lock)


def sweep(folder: Path, deep: bool = True) -> list[Path]:
    """Remove the drafts of dead processes in `folder`, and with `deep` those below it; return them.

    Only files and folders of this user are removed, and no link is followed. On a file system without locks, nothing is removed.
    """
    removed: list[Path] = []
    for here, folders, files in os.walk(folder):
        drafts = [name for name in (*folders, *files) if is_draft(name)]
        folders[:] = [name for name in folders if name not in drafts] if deep else []
        removed += [path for name in drafts if _remove_if_abandoned(path := Path(here, name))]
    if removed:
        logging.getLogger("raytl").info(
            "Removed %d unfinished write(s) of killed processes from %s", len(removed), folder
        )
    return removed


def _new_draft(final: Path, folder: bool) -> tuple[Path, int]:
    """Return a new draft and its lock."""
    while True:
        name = os.fsencode(final.name)[:_NAME_BYTES].decode(errors="ignore")
        draft = final.with_name(f".{name}.{secrets.token_hex(4)}.tmp")
        if folder:
            draft.mkdir()
        with contextlib.suppress(FileNotFoundError):  # a sweep removed it before it was locked
            lock = os.open(draft, _flags(folder) | (0 if folder else os.O_CREAT | os.O_EXCL), 0o666)
            with contextlib.suppress(OSError):  # the file system has no locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            if draft.exists():
                return draft, lock
            os.close(lock)


def _remove_if_abandoned(path: Path) -> bool:
    """Remove the draft unless a process locks it or another user owns it; return whether it was removed."""
    try:
        folder = stat.S_ISDIR(path.lstat().st_mode)
        handle = os.open(path, _flags(folder) | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        status = os.fstat(handle)
        if status.st_uid != os.geteuid() or not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
            return False
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(path, folder)
    except OSError:
        return False
    finally:
        os.close(handle)
    return not path.exists()


def _flags(folder: bool) -> int:
    """Return the flags to open a draft: NFS locks only files opened for writing, which folders cannot be."""
    return os.O_CLOEXEC | (os.O_RDONLY | os.O_DIRECTORY if folder else os.O_RDWR)


def _remove(path: Path, folder: bool) -> None:
    if folder:
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
