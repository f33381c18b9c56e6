"""A small actor between workers and driver: it collects events and heartbeats and answers with the driver's request.

Ray Train's `report` reaches only the controller process and costs a barrier and a poll each time.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from raytl.cluster.heartbeat import DriverRequest, Heartbeat
from raytl.errors import first_line
from raytl.events import Event, OnEvent
from raytl.worker_status import WorkerStatus

_POLL_S = 1.0


class _CoordinatorActor:
    def __init__(self) -> None:
        self._events: list[Event] = []
        self._attempt = 0
        self._request: DriverRequest | None = None
        self._heartbeats: dict[int, tuple[Heartbeat, float]] = {}
        self._has_ended = False

    def push(self, event: Event) -> None:
        self._events.append(event)

    def end(self) -> None:
        self._has_ended = True

    def drain(self) -> tuple[list[Event], bool]:
        events, self._events = self._events, []
        return events, self._has_ended

    def begin(self, attempt: int) -> None:
        self._attempt, self._request, self._heartbeats, self._has_ended = attempt, None, {}, False

    def request(self, request: DriverRequest) -> None:
        self._request = request

    def heartbeat(self, attempt: int, heartbeat: Heartbeat) -> DriverRequest | None:
        if attempt != self._attempt:
            return DriverRequest("exit", "another group of workers has taken over")
        self._heartbeats[heartbeat.rank] = (heartbeat, time.monotonic())
        return self._request

    def heartbeats(self) -> list[Heartbeat]:
        now = time.monotonic()
        return [replace(heartbeat, age_s=now - received) for heartbeat, received in self._heartbeats.values()]


@dataclass(frozen=True, slots=True)
class EventSender:
    """The worker's end: send events to the driver; each counts as progress, and none blocks or fails the work."""

    actor: Any
    status: WorkerStatus

    def __call__(self, event: Event) -> None:
        self.status.progressed()
        self.actor.push.remote(event)

    def end(self) -> None:
        """Tell the driver that this worker's function has ended."""
        self.actor.end.remote()


class CoordinatorLost(Exception):
    """The actor's process died: its workers wait for its answers before they write a checkpoint, without end."""


def _answer(call: Any) -> Any:
    import ray

    try:
        return ray.get(call)
    except (ray.exceptions.ActorDiedError, ray.exceptions.OutOfMemoryError) as dead:
        raise CoordinatorLost(f"the process that collects heartbeats was lost: {first_line(dead)}") from dead


class Coordinator:
    """The driver's end: the workers' heartbeats, and the request that answers them.

    `ended` is set soon after the first worker of the current attempt has ended.
    """

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.ended = threading.Event()

    def begin(self, attempt: int) -> None:
        """Accept only workers of this attempt; workers of earlier ones receive an exit request. A dead actor is replaced."""
        try:
            _answer(self.actor.begin.remote(attempt))
        except CoordinatorLost:
            self.actor = start_coordinator()
            _answer(self.actor.begin.remote(attempt))
        self.ended.clear()

    def request(self, request: DriverRequest) -> None:
        """Send a request to all workers, as the answer to their next heartbeat."""
        self.actor.request.remote(request)

    def heartbeats(self) -> list[Heartbeat]:
        """Return the last heartbeat of each worker that has sent one, with its age.

        Raises:
            CoordinatorLost: the actor died.
        """
        heartbeats: list[Heartbeat] = _answer(self.actor.heartbeats.remote())
        return heartbeats


def start_coordinator() -> Any:
    """Start the actor on this node, without waiting for it."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    this_node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(_CoordinatorActor).options(num_cpus=0, scheduling_strategy=this_node).remote()


def _logging_errors(on_event: OnEvent) -> OnEvent:
    """Return `on_event` with its first error logged, so that later events arrive."""
    failed = threading.Event()

    def deliver(event: Event) -> None:
        try:
            on_event(event)
        except Exception as error:
            if not failed.is_set():
                logging.getLogger("raytl").warning("an event callback failed: %s", first_line(error), exc_info=error)
            failed.set()

    return deliver


@contextlib.contextmanager
def coordinator(on_event: OnEvent, actor: Any = None) -> Iterator[Coordinator]:
    """Forward workers' events to `on_event`, in order, on a thread of this process; stop the actor at the end.

    The actor is started unless it is given. An error of `on_event` is logged and ends neither the thread nor the work.
    """
    import ray

    deliver = _logging_errors(on_event)
    stop, channel = threading.Event(), Coordinator(actor or start_coordinator())

    def forward() -> None:
        events, has_ended = ray.get(channel.actor.drain.remote())
        for event in events:
            deliver(event)
        if has_ended:
            channel.ended.set()

    def poll() -> None:
        while not stop.wait(_POLL_S):
            with contextlib.suppress(ray.exceptions.RayError):
                forward()

    thread = threading.Thread(target=poll, name="raytl-events", daemon=True)
    thread.start()
    try:
        yield channel
    finally:
        stop.set()
        thread.join()
        with contextlib.suppress(ray.exceptions.RayError):
            forward()
        ray.kill(channel.actor)
