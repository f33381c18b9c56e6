"""Lock a folder for one writer at a time, and rename it instead of overwriting it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from raytl.errors import RunError
from raytl.events import Message, OnEvent
from raytl.store.drafts import sweep


def set_aside(folder: Path, on_event: OnEvent) -> None:
    """Rename `folder`, if it exists, and report the new name.

    Raises:
        RunError: another raytl process holds it.
    """
    if not folder.exists():
        return
    with sole_owner(folder):  # the lock moves with the folder
        number = 1
        while (aside := folder.with_name(f"{folder.name}.old-{number}")).exists():
            number += 1
        folder.rename(aside)
    on_event(Message(f"renamed the run in {folder} to {aside}"))


@contextlib.contextmanager
def sole_owner(folder: Path) -> Iterator[None]:
    """Lock `folder` against other raytl processes, and delete partial files that a killed one left; the kernel releases
    the lock if the process dies.

    Raises:
        RunError: another process holds the lock.
    """
    with _locked(folder) as lock:
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        sweep(folder)
        yield


def _locked(folder: Path) -> TextIO:
    """Return the locked lock file of `folder`; retry if another process renames the folder between opening and locking."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock.fileno()), (folder / ".lock").stat()):
                return lock
        except FileNotFoundError:
            pass
        except BlockingIOError as exc:
            lock.seek(0)
            with lock:
                raise RunError(
                    f"{folder}: another raytl (pid {lock.read().strip()}) is working in this folder.\n"
                    "  Wait for it, stop it, or choose another name."
                ) from exc
        lock.close()
