"""A small actor between workers and driver: it collects events and heartbeats and answers with the driver's request.

Ray Train's `report` reaches only the controller process and costs a barrier and a poll each time.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from raytl.cluster.heartbeat import DriverRequest, Heartbeat
from raytl.events import Event, OnEvent
from raytl.worker_status import WorkerStatus

_POLL_S = 0.5


class _CoordinatorActor:
    def __init__(self) -> None:
        self._events: list[Event] = []
        self._attempt = 0
        self._request: DriverRequest | None = None
        self._heartbeats: dict[int, tuple[Heartbeat, float]] = {}

    def push(self, event: Event) -> None:
        self._events.append(event)

    def drain(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def begin(self, attempt: int) -> None:
        self._attempt, self._request, self._heartbeats = attempt, None, {}

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


class Coordinator:
    """The driver's end: the workers' heartbeats, and the request that answers them."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def begin(self, attempt: int) -> None:
        """Accept only workers of this attempt; workers of earlier ones receive an exit request."""
        import ray

        ray.get(self.actor.begin.remote(attempt))

    def request(self, request: DriverRequest) -> None:
        """Send a request to all workers, as the answer to their next heartbeat."""
        self.actor.request.remote(request)

    def heartbeats(self) -> list[Heartbeat]:
        """Return the last heartbeat of each worker that has sent one, with its age."""
        import ray

        heartbeats: list[Heartbeat] = ray.get(self.actor.heartbeats.remote())
        return heartbeats


@contextlib.contextmanager
def coordinator(on_event: OnEvent) -> Iterator[Coordinator]:
    """Start the actor on this node and forward workers' events to `on_event`, in order, on a thread of this process."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    this_node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(_CoordinatorActor).options(num_cpus=0, scheduling_strategy=this_node).remote()
    stop = threading.Event()

    def forward() -> None:
        for event in ray.get(actor.drain.remote()):
            on_event(event)

    def poll() -> None:
        while not stop.wait(_POLL_S):
            with contextlib.suppress(ray.exceptions.RayError):
                forward()

    thread = threading.Thread(target=poll, name="raytl-events", daemon=True)
    thread.start()
    try:
        yield Coordinator(actor)
    finally:
        stop.set()
        thread.join()
        with contextlib.suppress(ray.exceptions.RayError):
            forward()
        ray.kill(actor)
