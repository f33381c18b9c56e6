"""Write files and folders atomically: a name appears only once its content is complete and flushed to disk."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raytl.disk import writing
from raytl.run.plain import encode
from raytl.store.drafts import drafted

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM}


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` under a temporary name in the same folder, flush it to disk, and rename it to `path`."""
    final = Path(path)
    with writing(final, len(data)), drafted(final) as draft:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(final)
        sync_folder(final.parent)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented strict JSON (NaN becomes null), atomically."""
    write_bytes(path, encode(value, indent=2) + b"\n")


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names atomically; return False if the system cannot. Source: renameat2(2)."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(other))


def replace_dir(temporary: str | Path, final: str | Path, exchange: Callable[[Path, Path], bool] = exchange) -> None:
    """Replace the folder `final`, which may exist, with the folder `temporary` on the same file system.

    On Linux the two are exchanged atomically. Elsewhere the old folder is first renamed to `.<name>.old`; after a crash
    between the two renames, `recover_dir` restores it.
    """
    new, old = Path(temporary), Path(final)
    with writing(old):
        old.parent.mkdir(parents=True, exist_ok=True)
        sync_tree(new)
        if not old.exists():
            new.rename(old)
        elif exchange(new, old):
            sync_folder(old.parent)
            shutil.rmtree(new, ignore_errors=True)
        else:
            _swap_by_two_renames(new, old)
        sync_folder(old.parent)


@contextmanager
def atomic_dir(final: str | Path) -> Iterator[Path]:
    """Yield a new folder that replaces `final` at the end, or is removed on an error.

    Only one process at a time may write `final`.
    """
    place = Path(final)
    with writing(place), drafted(place, folder=True) as draft:
        yield draft
        replace_dir(draft, place)


def recover_dir(final: str | Path) -> None:
    """Restore the folder that an interrupted `replace_dir` renamed; otherwise do nothing."""
    path = Path(final)
    aside = _aside(path)
    if not aside.exists():
        return
    if path.exists():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.rename(path)


def sync_folder(folder: Path) -> None:
    """Flush the entries of a folder (new names) to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # some network file systems cannot sync folders
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Flush every file below `folder`, and the folders themselves, to disk."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _swap_by_two_renames(new: Path, old: Path) -> None:
    aside = _aside(old)
    shutil.rmtree(aside, ignore_errors=True)
    old.rename(aside)
    new.rename(old)
    shutil.rmtree(aside, ignore_errors=True)
