"""The test split's ledger: every look is written down before it happens, and a second one has to be asked for."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from raytl.errors import RunError, TestLockedError
from raytl.run import journal
from raytl.run.folder import RunFolder
from raytl.run.provenance import user


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One look at the test split; `look` counts from 1, `when` is ISO 8601 in UTC, `weights` a digest."""

    look: int
    who: str
    when: str
    weights: str

    @property
    def mark(self) -> str:
        """What later reports are marked with; empty for the first look."""
        return "" if self.look == 1 else f"look {self.look}"


def unlock(folder: RunFolder, weights_digest: str, again: bool = False, now: datetime | None = None) -> LedgerEntry:
    """Write a look into the ledger and return it; only then may the test split be read.

    Raises TestLockedError when the split was looked at already and not `again`.
    """
    with _locked(folder):
        earlier = looks(folder)
        if earlier and not again:
            raise TestLockedError(_refusal(folder, earlier))
        when = (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
        entry = LedgerEntry(len(earlier) + 1, user(), when, weights_digest)
        journal.append(folder.ledger, asdict(entry))
        return entry


def looks(folder: RunFolder) -> list[LedgerEntry]:
    """The looks so far, in order."""
    try:
        return [LedgerEntry(**record) for record in journal.read(folder.ledger)]
    except TypeError as error:
        raise RunError(f"{folder.ledger}: a line lacks or adds keys ({error}); the ledger was edited") from error


def _refusal(folder: RunFolder, earlier: list[LedgerEntry]) -> str:
    last = earlier[-1]
    times = "once" if len(earlier) == 1 else f"{len(earlier)} times"
    return (
        f"{folder.root}: the test split was looked at {times} already, last by {last.who} on {last.when} "
        f"with weights {last.weights[:12]}; a test that steers choices is no longer held out.\n"
        "Read that report in the run's evaluation folder, tune on the val split, or pass --again to look once more: "
        f"every later report will be marked 'look {len(earlier) + 1}'."
    )


@contextmanager
def _locked(folder: RunFolder) -> Iterator[None]:
    """Hold the ledger, so that of two looks at the same moment one is the first; the kernel frees it on death."""
    handle = os.open(folder.ledger, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
