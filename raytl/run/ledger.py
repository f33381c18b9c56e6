"""The test split's ledger: every look is recorded before it starts, and a second look has to be asked for.

A look ends with its report. One that died before its report showed nobody anything, so the next evaluation of the same
weights finishes it under its own number.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from raytl.errors import RunError, TestLockedError
from raytl.run import journal
from raytl.run.folder import RunFolder
from raytl.run.provenance import user
from raytl.stored import Format
from raytl.stored.bounds import Name, within

REPORT = "report.json"
"""The file that ends a look."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One look at the test split; `look` counts from 1, `when` is ISO 8601 in UTC, `weights` a digest."""

    look: Annotated[int, within(1, 10**6)]
    who: Name
    when: Name
    weights: Name

    @property
    def mark(self) -> str:
        """What later reports are marked with; empty for the first look."""
        return "" if self.look == 1 else f"look {self.look}"

    def report_folder(self, folder: RunFolder) -> Path:
        """Return where this look's report is, or will be."""
        return folder.evaluation / ("test" if self.look == 1 else f"test-{self.look}")

    def is_reported(self, folder: RunFolder) -> bool:
        """Return whether this look ended with its report."""
        return (self.report_folder(folder) / REPORT).exists()


LOOK_FORMAT = Format[LedgerEntry](
    LedgerEntry,
    "a look at the test split",
    "The ledger was damaged or edited: restore it, as it says what was looked at.",
)


def unlock(folder: RunFolder, weights_digest: str, again: bool = False, now: datetime | None = None) -> LedgerEntry:
    """Return the look to take now, recorded in the ledger; only then may the test split be read.

    A look at the same weights that has no report yet is returned as it was recorded, to be finished.

    Raises:
        TestLockedError: there was a look already, and not `again`.
    """
    with _locked(folder):
        earlier = looks(folder)
        if earlier and earlier[-1].weights == weights_digest and not earlier[-1].is_reported(folder):
            return earlier[-1]
        if earlier and not again:
            raise TestLockedError(_refusal(folder, earlier))
        when = (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
        entry = LedgerEntry(len(earlier) + 1, user(), when, weights_digest)
        journal.append(folder.ledger, asdict(entry))
        return entry


def looks(folder: RunFolder) -> list[LedgerEntry]:
    """The looks so far, in order."""
    return journal.read(folder.ledger, LOOK_FORMAT)


@contextmanager
def exclusive_test_access(folder: RunFolder) -> Iterator[None]:
    """Hold the test split of a run on this machine: a look that is being taken is not one that died.

    Raises:
        RunError: another process holds it.
    """
    with (folder.root / ".look.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(
                f"{folder.root}: another process is evaluating the test split of this run; wait for it, and run the same "
                "command again to see its report"
            ) from error
        yield


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
