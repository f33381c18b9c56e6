"""The status of one worker: a value that its work updates, its heartbeats report and the driver reads.

`World` carries it, so code that trains or scores reports what it does without importing Ray. Without a driver (a test, a
run in this process) the status is updated and nobody reads it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

_CONTACT_TIMEOUT_S = 10.0
"""Far less than Ray needs to declare a node dead, so a worker that is replaced has stopped writing before."""
_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Paused:
    """The result of work that stopped at the driver's request and can be resumed."""


@dataclass(slots=True)
class WorkerStatus:
    """The current activity of a worker process; one thread's work sets it, the heartbeat thread reads it.

    `in_collective` is True while the worker waits for its peers. `last_contact` is the monotonic time of the driver's last
    answer, None without a driver.
    """

    activity: str = "starting"
    in_collective: bool = False
    progressed_at: float = field(default_factory=time.monotonic)
    pause_requested: bool = False
    last_contact: float | None = None

    def begin(self, activity: str, in_collective: bool = False) -> None:
        """Record that the worker made progress and what it does next."""
        self.activity, self.in_collective, self.progressed_at = activity, in_collective, time.monotonic()

    def progressed(self) -> None:
        """Record progress in the current activity."""
        self.progressed_at = time.monotonic()

    def track(self, items: Iterable[T], activity: str) -> Iterator[T]:
        """Yield the items; each request for the next one begins `activity` anew."""
        iterator = iter(items)
        while True:
            self.begin(activity)
            try:
                item = next(iterator)
            except StopIteration:
                return
            yield item

    def wait_for_driver(self) -> None:
        """Return while the driver answers; a worker that is cut off blocks here, because another may have replaced it."""
        while self.last_contact is not None and time.monotonic() - self.last_contact > _CONTACT_TIMEOUT_S:
            threading.Event().wait(_POLL_S)
