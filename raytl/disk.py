"""One sentence for each way in which a disk refuses: where, what is wrong, and what to do, whichever library wrote.

Libraries that are not written in Python hide the system's error number: safetensors and `shutil.copytree` have it in
their text, SQLite has words of its own. `disk_error` finds it in all of them.
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


class _Refusal(NamedTuple):
    """What an error number means; `{}` is the number of bytes that were to be written, in words."""

    wrong: str
    expected: str
    advice: str


_REFUSALS = {
    errno.ENOSPC: _Refusal("the disk is full", "{} free", "Free some space"),
    errno.EDQUOT: _Refusal(
        "the disk quota of this user is used up", "{} left in it", "Free some space, or ask for a larger quota"
    ),
    errno.EFBIG: _Refusal(
        "the file is larger than this system allows",
        "a limit that leaves {}",
        "Raise the limit (`ulimit -f`), or use a file system that holds larger files",
    ),
    errno.EROFS: _Refusal(
        "the file system is read-only", "one that can be written", "Name another folder, or mount it writable"
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM),
        _Refusal("permission denied", "a file that this user may read and write", "Change its mode or its owner"),
    ),
    errno.ENOTDIR: _Refusal("a part of this path is a file", "a folder", "Move that file away"),
    errno.EIO: _Refusal("the disk cannot be read or written", "a disk without errors", "Check it (`dmesg` has more)"),
    **dict.fromkeys(
        (errno.EMFILE, errno.ENFILE),
        _Refusal("too many files are open", "a higher limit", "Raise it (`ulimit -n`)"),
    ),
}
_NUMBER = re.compile(r"\(os error (\d+)\)|\[Errno (\d+)\]")
"""How Rust's `std::io::Error` and Python's `shutil.Error` write an error number."""
_WORDS = {
    "database or disk is full": errno.ENOSPC,  # SQLite
    "No usable temporary directory found": errno.ENOSPC,  # tempfile, which tries to write in each
}


def disk_error(error: BaseException, where: str = "", needed: int | None = None) -> DiskError | None:
    """Return what `error` says of a disk as an error for users; None where it says nothing of one.

    `where` is what was written, by default what `error` names; `needed` is how many bytes that takes.
    """
    if isinstance(error, DiskError):
        return error
    refusal = _REFUSALS.get(_number(error))
    if refusal is None:
        return None
    size = "enough space" if needed is None else f"{needed:,} bytes"
    return DiskError(
        f"{_place(error, where)}: {refusal.wrong}; expected {refusal.expected.format(size)}. "
        f"{refusal.advice} and run the same command again."
    )


@contextmanager
def writing(where: str | PathLike[str], needed: int | None = None) -> Iterator[None]:
    """Raise what a disk refuses inside as a DiskError that names the file or folder `where`.

    Raises:
        DiskError: the disk is full, read-only, or not this user's, ...
    """
    try:
        yield
    except Exception as error:
        refused = disk_error(error, str(where), needed)
        if refused is None or refused is error:
            raise
        raise refused from error


def _number(error: BaseException) -> int:
    """Return the system's error number, 0 where there is none."""
    text = str(error)
    if said := next((number for words, number in _WORDS.items() if words in text), 0):
        return said
    if isinstance(error, OSError) and error.errno:
        return error.errno
    found = _NUMBER.search(text)
    return int(found[1] or found[2]) if found else 0


def _place(error: BaseException, where: str) -> str:
    """Return `where`, unless the error names a file elsewhere, such as the source of a copy that cannot be read."""
    named = _named(error)
    if where and (not named or PurePath(named).is_relative_to(PurePath(where).parent)):
        return where
    return named or "this machine's disk"


def _named(error: BaseException) -> str:
    """Return the file that the error names, or nothing: of a copy the target, which is what could not be written."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list) and error.args[0]:
        return str(error.args[0][0][1])
    names = (getattr(error, name, None) for name in ("filename2", "filename"))
    return next((str(name) for name in names if name), "")
