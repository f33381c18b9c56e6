"""Between the workers and the driver: events one way, what they are asked the other way, by one small actor.

Ray Train's own `report` reaches only the controller process, and costs a barrier and a poll each time.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from raytl.cluster import pulse
from raytl.cluster.heartbeat import Ask, Heartbeat
from raytl.events import Event, OnEvent

_POLL_S = 0.5


class _HeartbeatBoard:
    def __init__(self) -> None:
        self._events: list[Event] = []
        self._attempt = 0
        self._ask: Ask | None = None
        self._heartbeats: dict[int, tuple[Heartbeat, float]] = {}

    def push(self, event: Event) -> None:
        self._events.append(event)

    def drain(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def begin(self, attempt: int) -> None:
        self._attempt, self._ask, self._heartbeats = attempt, None, {}

    def ask(self, ask: Ask) -> None:
        self._ask = ask

    def heartbeat(self, attempt: int, heartbeat: Heartbeat) -> Ask | None:
        if attempt != self._attempt:
            return Ask("end", "another group of workers has taken over")
        self._heartbeats[heartbeat.rank] = (heartbeat, time.monotonic())
        return self._ask

    def heartbeats(self) -> list[Heartbeat]:
        now = time.monotonic()
        return [replace(heartbeat, silent_s=now - told) for heartbeat, told in self._heartbeats.values()]


@dataclass(frozen=True, slots=True)
class Line:
    """The workers' end: callable with an event; never blocks and never fails the work."""

    board: Any

    def __call__(self, event: Event) -> None:
        pulse.got_on()
        self.board.push.remote(event)


class Channel:
    """The driver's end: what the workers last said of themselves, and what they are asked to do."""

    def __init__(self, board: Any) -> None:
        self._board = board
        self.line = Line(board)

    def begin(self, attempt: int) -> None:
        """Listen to the workers of this attempt alone; what is left of those before is told to end."""
        import ray

        ray.get(self._board.begin.remote(attempt))

    def ask(self, ask: Ask) -> None:
        """Ask all workers for something; they hear it with their next beat."""
        self._board.ask.remote(ask)

    def heartbeats(self) -> list[Heartbeat]:
        """The last beat of each worker that has beaten, with how long ago that was."""
        import ray

        heartbeats: list[Heartbeat] = ray.get(self._board.heartbeats.remote())
        return heartbeats


@contextlib.contextmanager
def channel(on_event: OnEvent) -> Iterator[Channel]:
    """The driver's end; what workers send reaches `on_event`, in order, on a thread of this process."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    board: Any = ray.remote(_HeartbeatBoard).options(num_cpus=0, scheduling_strategy=here).remote()
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
        yield Channel(board)
    finally:
        stop.set()
        thread.join()
        with contextlib.suppress(ray.exceptions.RayError):
            forward()
        ray.kill(board)
