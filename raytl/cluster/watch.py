"""The driver's watch over a running attempt: draining nodes, room for more workers, and hangs."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from raytl.cluster.coordinator import Coordinator, CoordinatorLost
from raytl.cluster.hang import describe_hang
from raytl.cluster.heartbeat import DriverRequest, Heartbeat
from raytl.cluster.machines import Machine, machines
from raytl.cluster.reservation import count_ready, release, reserve_extra
from raytl.cluster.workers import Workers
from raytl.config.schema import ComputeConfig

_POLL_S = 2.0
_SETTLE_S = 5.0
"""Machines join one after another: resize only after none has joined for so long."""


class Watch:
    """The request sent to an attempt's workers, and the hosts that they last reported from."""

    def __init__(self) -> None:
        self.request: DriverRequest | None = None
        self._hosts: dict[str, str] = {}

    def update(self, heartbeats: Sequence[Heartbeat]) -> None:
        """Record the workers' hosts."""
        self._hosts = {heartbeat.node: heartbeat.host for heartbeat in heartbeats}

    def lost_hosts(self) -> list[str]:
        """Return the workers' hosts that are draining or do not answer."""
        candidates = [machine for machine in machines() if machine.id in self._hosts and not machine.draining]
        alive = {machine.id for machine in candidates if machine.answers()}
        return sorted(host for node, host in self._hosts.items() if node not in alive)


@contextlib.contextmanager
def watching(coordinator: Coordinator, workers: Workers, compute: ComputeConfig) -> Iterator[Watch]:
    """Poll machines and workers on a thread while inside and send the workers what `choose_request` returns.

    Hung workers receive an exit request even after a pause request. Workers that no request can reach are stopped.
    """
    import ray

    watch, stop, extra, current = Watch(), threading.Event(), list[Any](), workers.placement
    changed_at, ready, first_heartbeat = time.monotonic(), 0, math.inf

    def poll() -> DriverRequest | None:
        nonlocal changed_at, ready, first_heartbeat
        heartbeats = coordinator.heartbeats()
        if heartbeats and math.isinf(first_heartbeat):
            first_heartbeat = time.monotonic()
            extra.extend(reserve_extra(current, compute))  # only after the workers hold their own resources
        watch.update(heartbeats)
        if (count := count_ready(extra)) != ready:
            ready, changed_at = count, time.monotonic()
        extra_workers = ready if time.monotonic() - changed_at > _SETTLE_S else 0
        since_s = time.monotonic() - first_heartbeat
        hang = describe_hang(heartbeats, current.workers, since_s, compute.timeout_s)
        return choose_request(machines(), heartbeats, current.workers, extra_workers, hang)

    def loop() -> None:
        try:
            while not stop.wait(_POLL_S):
                with contextlib.suppress(ray.exceptions.RayError):
                    if (request := poll()) is not None and request.supersedes(watch.request):
                        watch.request = request
                        coordinator.request(request)
        except CoordinatorLost as lost:
            watch.request = DriverRequest("exit", str(lost))
            workers.stop()

    thread = threading.Thread(target=loop, name="raytl-watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        stop.set()
        thread.join()
        release(extra)


def choose_request(
    cluster: Sequence[Machine], heartbeats: Sequence[Heartbeat], workers: int, extra: int, hang: str | None
) -> DriverRequest | None:
    """Return the most urgent request for the workers, if any."""
    draining = {machine.id for machine in cluster if machine.draining}
    if hang is not None:
        return DriverRequest("exit", hang, "failure")
    if hosts := sorted({heartbeat.host for heartbeat in heartbeats if heartbeat.node in draining}):
        return DriverRequest("pause", f"{', '.join(hosts)} is being preempted", "preemption")
    if extra:
        return DriverRequest("pause", f"there is room for {workers + extra} workers", "resize")
    return None
