"""The ledger of the test split: every evaluation (a look) is recorded before it starts, and a second needs --again.

A look ends with its report. A look that was interrupted before its report revealed nothing, so the next evaluation of
the same weights finishes it under the same number.
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
"""The file that completes a look."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One look at the test split; `look` is its number from 1, `when` is ISO 8601 in UTC, `weights` a digest."""

    look: Annotated[int, within(1, 10**6)]
    who: Name
    when: Name
    weights: Name

    @property
    def mark(self) -> str:
        """Return the mark in the report; empty for the first look."""
        return "" if self.look == 1 else f"evaluation {self.look}"

    def report_folder(self, folder: RunFolder) -> Path:
        """Return the folder for the report of this look."""
        return folder.evaluation / ("test" if self.look == 1 else f"test-{self.look}")

    def is_reported(self, folder: RunFolder) -> bool:
        """Return True if this look has its report."""
        return (self.report_folder(folder) / REPORT).exists()


LOOK_FORMAT = Format[LedgerEntry](
    LedgerEntry,
    "a look at the test split",
    "The ledger was damaged or edited. Restore it: it records every look.",
)


def unlock(folder: RunFolder, weights_digest: str, again: bool = False, now: datetime | None = None) -> LedgerEntry:
    """Record a look in the ledger and return it; the test split may be read only afterwards.

    If the last look at the same weights has no report, return that look, to be finished.

    Raises:
        TestLockedError: there is an earlier look, and `again` is false.
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
    """Return all looks, in order."""
    return journal.read(folder.ledger, LOOK_FORMAT)


@contextmanager
def exclusive_test_access(folder: RunFolder) -> Iterator[None]:
    """Lock the test split of a run on this machine, so that a look in progress is not taken for an interrupted one.

    Raises:
        RunError: another process holds the lock.
    """
    with (folder.root / ".look.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(
                f"{folder.root}: another process is evaluating the test split of this run; wait for it, then repeat the "
                "command to see its report"
            ) from error
        yield


def _refusal(folder: RunFolder, earlier: list[LedgerEntry]) -> str:
    last = earlier[-1]
    times = "once" if len(earlier) == 1 else f"{len(earlier)} times"
    return (
        f"{folder.root}: the test split was evaluated {times} already, last by {last.who} on {last.when} "
        f"with weights {last.weights[:12]}; a test split that guides decisions is no longer held out.\n"
        "Read that report in the evaluation folder of the run, tune on the val split, or pass --again (in Python, again=True) to evaluate again: "
        f"the report will be marked 'evaluation {len(earlier) + 1}'."
    )


@contextmanager
def _locked(folder: RunFolder) -> Iterator[None]:
    """Lock the ledger, so that concurrent looks are ordered; the kernel releases the lock if the process dies."""
    handle = os.open(folder.ledger, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
