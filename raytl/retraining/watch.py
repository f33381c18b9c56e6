"""Wait for the times of a schedule, by the local wall clock, through daylight saving changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime

from raytl.retraining.cron import Schedule

LONGEST_WAIT_S = 60.0
"""Clocks are adjusted and machines sleep, so the time left is computed again at least this often."""


def wait(seconds: float) -> None:
    """Wait for `seconds`, or until Ctrl-C."""
    threading.Event().wait(seconds)


def due_times(
    schedule: Schedule,
    announce: Callable[[datetime], None],
    *,
    now: Callable[[], datetime] = datetime.now,
    wait: Callable[[float], None] = wait,
) -> Iterator[datetime]:
    """Yield each due time when it comes; `announce` is called with it before the wait.

    Times that pass while the caller is busy are skipped.
    """
    while True:
        moment = now()
        due = schedule.after(moment).replace(fold=moment.fold)
        announce(due)
        while (left := due.timestamp() - now().timestamp()) > 0:
            wait(min(left, LONGEST_WAIT_S))
        yield due
