"""Events from workers to the driver: a small actor that queues them, and a thread that hands them on.

Ray Train's own `report` reaches only the controller process, and costs a barrier and a poll each time.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from raytl.events import Event, OnEvent

_POLL_S = 0.2


class _Board:
    def __init__(self) -> None:
        self._events: list[Event] = []

    def push(self, event: Event) -> None:
        self._events.append(event)

    def drain(self) -> list[Event]:
        events, self._events = self._events, []
        return events


class Sender:
    """The workers' end: callable with an event; never blocks and never fails the work."""

    def __init__(self, board: Any) -> None:
        self._board = board

    def __call__(self, event: Event) -> None:
        self._board.push.remote(event)


@contextlib.contextmanager
def channel(on_event: OnEvent) -> Iterator[Sender]:
    """A sender for workers; what they send reaches `on_event`, in order, on a thread of this process."""
    import ray

    board: Any = ray.remote(num_cpus=0)(_Board).remote()
    stop = threading.Event()

    def forward() -> None:
        for event in ray.get(board.drain.remote()):
            on_event(event)

    def pump() -> None:
        while not stop.wait(_POLL_S):
            with contextlib.suppress(ray.exceptions.RayError):
                forward()

    thread = threading.Thread(target=pump, name="raytl-events", daemon=True)
    thread.start()
    try:
        yield Sender(board)
    finally:
        stop.set()
        thread.join()
        with contextlib.suppress(ray.exceptions.RayError):
            forward()
        ray.kill(board)
