"""Translate disk errors of any library into one sentence each: where, what is wrong, and what to do.

Not every library sets the system's error number: safetensors and `shutil.copytree` have it in their text, and SQLite has its
own messages. `disk_error` extracts it from all of them.
"""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import PurePath
from typing import NamedTuple

from raytl.errors import DiskError


class _DiskFault(NamedTuple):
    """The text of an error number; `{}` is replaced by the number of bytes to be written."""

    problem: str
    expected: str
    advice: str


_FAULTS = {
    errno.ENOSPC: _DiskFault("the disk is full", "{} free", "Free some space"),
    errno.EDQUOT: _DiskFault(
        "this user's disk quota is exhausted", "{} left in the quota", "Free some space, or request a larger quota"
    ),
    errno.EFBIG: _DiskFault(
        "the file exceeds this system's size limit",
        "a limit that allows {}",
        "Raise the limit (`ulimit -f`), or use a file system for larger files",
    ),
    errno.EROFS: _DiskFault(
        "the file system is read-only", "a writable one", "Use another folder, or mount it writable"
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM),
        _DiskFault("permission denied", "a file that this user can read and write", "Change its permissions or owner"),
    ),
    errno.ENOTDIR: _DiskFault("a parent of this path is a file", "a folder", "Move that file"),
    errno.EIO: _DiskFault("input/output error", "a working disk", "Check the disk (see `dmesg`)"),
    **dict.fromkeys(
        (errno.EMFILE, errno.ENFILE),
        _DiskFault("too many open files", "a higher limit", "Raise it (`ulimit -n`)"),
    ),
}
_NUMBER = re.compile(r"\(os error (\d+)\)|\[Errno (\d+)\]")
"""The error number in the texts of Rust's `std::io::Error` and Python's `shutil.Error`."""
_MESSAGES = {
    "database or disk is full": errno.ENOSPC,  # SQLite
    "No usable temporary directory found": errno.ENOSPC,  # tempfile, which tries to write in each
}


def disk_error(error: BaseException, where: str = "", needed: int | None = None) -> DiskError | None:
    """Return `error` as a DiskError for users, or None if it is not about a disk.

    `where` is the path that was written, by default the one that `error` names; `needed` is its size in bytes.
    """
    if isinstance(error, DiskError):
        return error
    fault = _FAULTS.get(_number(error))
    if fault is None:
        return None
    size = "enough space" if needed is None else f"{needed:,} bytes"
    return DiskError(
        f"{_place(error, where)}: {fault.problem}; expected {fault.expected.format(size)}. "
        f"{fault.advice} and run the same command again."
    )


@contextmanager
def writing(where: str | PathLike[str], needed: int | None = None) -> Iterator[None]:
    """Translate disk errors inside to a DiskError that names the file or folder `where`.

    Raises:
        DiskError: the disk is full, read-only, not accessible, ...
    """
    try:
        yield
    except Exception as error:
        translated = disk_error(error, str(where), needed)
        if translated is None or translated is error:
            raise
        raise translated from error


def _number(error: BaseException) -> int:
    """Return the system's error number, or 0."""
    text = str(error)
    if number := next((code for message, code in _MESSAGES.items() if message in text), 0):
        return number
    if isinstance(error, OSError) and error.errno:
        return error.errno
    match = _NUMBER.search(text)
    return int(match[1] or match[2]) if match else 0


def _place(error: BaseException, where: str) -> str:
    """Return `where`, unless the error names a file elsewhere, such as the unreadable source of a copy."""
    named = _named(error)
    if where and (not named or PurePath(named).is_relative_to(PurePath(where).parent)):
        return where
    return named or "this machine's disk"


def _named(error: BaseException) -> str:
    """Return the file that the error names, or an empty text; of a copy, the target."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list) and error.args[0]:
        return str(error.args[0][0][1])
    names = (getattr(error, name, None) for name in ("filename2", "filename"))
    return next((str(name) for name in names if name), "")
