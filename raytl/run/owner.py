"""A folder that one process at a time writes to, and that is set aside rather than overwritten."""

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
    """Give what is in `folder` another name, if there is anything, and say which.

    Raises:
        RunError: another raytl works in it.
    """
    if not folder.exists():
        return
    with sole_owner(folder):  # the lock moves with the folder
        number = 1
        while (aside := folder.with_name(f"{folder.name}.old-{number}")).exists():
            number += 1
        folder.rename(aside)
    on_event(Message(f"the run that was in {folder} is now in {aside}"))


@contextlib.contextmanager
def sole_owner(folder: Path) -> Iterator[None]:
    """Inside, no other raytl works in `folder`, and what a killed one left half written is gone; the kernel lets go of the
    lock when a process dies.

    Raises:
        RunError: another one does.
    """
    with _locked(folder) as lock:
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        sweep(folder)
        yield


def _locked(folder: Path) -> TextIO:
    """Return the locked lock file of `folder`: the one that is in it now, as another raytl may set the folder aside between
    opening the file and locking it."""
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
                    f"{folder}: another raytl (pid {lock.read().strip()}) is training in this folder.\n"
                    "  Wait for it, stop it, or give this experiment another name."
                ) from exc
        lock.close()
