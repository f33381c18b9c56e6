"""Waiting for the times that a schedule names, by the clock on the wall: whatever summer does to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime

from raytl.retrain.cron import Schedule

LONGEST_WAIT_S = 60.0
"""Clocks are set and machines sleep meanwhile."""


def wait(seconds: float) -> None:
    """Wait so long, or until Ctrl-C."""
    threading.Event().wait(seconds)


def due_times(
    schedule: Schedule,
    announce: Callable[[datetime], None],
    *,
    now: Callable[[], datetime] = datetime.now,
    wait: Callable[[float], None] = wait,
) -> Iterator[datetime]:
    """Yield each time that is due, once it has come; `announce` is given it before the wait.

    Times that pass while the caller is at work are left out.
    """
    while True:
        moment = now()
        due = schedule.after(moment).replace(fold=moment.fold)
        announce(due)
        while (left := due.timestamp() - now().timestamp()) > 0:
            wait(min(left, LONGEST_WAIT_S))
        yield due
