"""Detect a process that is writing to a run, without disturbing it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from raytl.catalog.entry import moment
from raytl.errors import StoreError
from raytl.store.holder import Holder, is_alive
from raytl.store.lease import TERM_S
from raytl.store.local import LocalStore

LOCK = ".lock"
_MAX_LOCK_BYTES = 64
_LOCKS = Path("/proc/locks")


def is_locked(folder: Path) -> bool:
    """Return whether a process of this machine holds the lock of a run's folder. See proc_locks(5).

    The lock itself is not tried: that could turn away a run that starts in the same moment.
    """
    try:
        status = (folder / LOCK).stat()
        holder = LocalStore(folder).get_bytes(LOCK, length=_MAX_LOCK_BYTES).decode(errors="replace").strip()
        lines = _LOCKS.read_text(errors="replace").splitlines()
    except (OSError, StoreError):
        return False
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    return any(_is_held(line.split(), status.st_ino, device, holder) for line in lines)


def _is_held(fields: list[str], inode: int, device: str, holder: str) -> bool:
    """Match a line such as `11: FLOCK ADVISORY WRITE 1957 fe:00:2484251 0 EOF`.

    Some file systems (btrfs, overlayfs) show another device here than stat does; there, the holder's pid has to match.
    """
    if len(fields) < 6 or fields[1:4] != ["FLOCK", "ADVISORY", "WRITE"]:
        return False
    place, _, number = fields[5].rpartition(":")
    return number == str(inode) and (place == device or fields[4] == holder)


def is_renewed(holder: Holder | None, now: datetime | None = None) -> bool:
    """Return whether the holder of a lease in a bucket still writes; of another machine's, by the time of its renewal."""
    if holder is None or holder.given_back:
        return False
    alive = is_alive(holder.process)
    if alive is not None:
        return alive
    renewed = moment(holder.renewed)
    return renewed is not None and ((now or datetime.now(UTC)) - renewed).total_seconds() < 2 * TERM_S
