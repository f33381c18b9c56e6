"""The driver's look at an attempt that runs: do machines leave, has room come for more workers, does it hang?"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from raytl.cluster.channel import Channel
from raytl.cluster.hang import hang
from raytl.cluster.heartbeat import Ask, Heartbeat
from raytl.cluster.machines import Machine, machines
from raytl.cluster.placement import Place
from raytl.cluster.reservation import forget, fulfilled, wishes
from raytl.config.schema import ComputeConfig

_LOOK_S = 1.0
_SETTLE_S = 5.0
"""Machines come one after another: more room is used once nothing was added for so long."""


class Watch:
    """What was asked of an attempt's workers, and the machines that they were last seen on."""

    def __init__(self) -> None:
        self.asked: Ask | None = None
        self._hosts: dict[str, str] = {}

    def saw(self, heartbeats: Sequence[Heartbeat]) -> None:
        """Note where the workers are."""
        self._hosts = {heartbeat.node: heartbeat.host for heartbeat in heartbeats}

    def lost(self) -> list[str]:
        """The hosts of workers that leave, or that nothing is heard of."""
        theirs = [machine for machine in machines() if machine.id in self._hosts and not machine.leaves]
        there = {machine.id for machine in theirs if machine.answers()}
        return sorted(host for node, host in self._hosts.items() if node not in there)


@contextlib.contextmanager
def watching(channel: Channel, here: Place, compute: ComputeConfig) -> Iterator[Watch]:
    """A thread looks at machines and workers while inside, and asks the workers for what is needed; workers that hang
    are ended though they were asked to pause before."""
    import ray

    watch, stop, wished = Watch(), threading.Event(), list[Any]()
    room_since, extra, began = time.monotonic(), 0, math.inf

    def look() -> Ask | None:
        nonlocal room_since, extra, began
        heartbeats = channel.heartbeats()
        if heartbeats and math.isinf(began):
            began = time.monotonic()
            wished.extend(wishes(here, compute))  # not before the workers have taken the room that is theirs
        watch.saw(heartbeats)
        if (count := fulfilled(wished)) != extra:
            extra, room_since = count, time.monotonic()
        settled = extra if time.monotonic() - room_since > _SETTLE_S else 0
        stuck = hang(heartbeats, here.workers, time.monotonic() - began, compute.timeout_s)
        return wanted(machines(), heartbeats, here.workers, settled, stuck)

    def loop() -> None:
        while not stop.wait(_LOOK_S):
            with contextlib.suppress(ray.exceptions.RayError):
                if (ask := look()) is not None and ask.goes_beyond(watch.asked):
                    watch.asked = ask
                    channel.ask(ask)

    thread = threading.Thread(target=loop, name="raytl-watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        stop.set()
        thread.join()
        forget(wished)


def wanted(
    found: Sequence[Machine], heartbeats: Sequence[Heartbeat], workers: int, reservation: int, stuck: str | None
) -> Ask | None:
    """What to ask of the workers, the most urgent first."""
    leaving = {machine.id for machine in found if machine.leaves}
    if stuck is not None:
        return Ask("end", stuck, "failure")
    if going := sorted({heartbeat.host for heartbeat in heartbeats if heartbeat.node in leaving}):
        return Ask("pause", f"{', '.join(going)} is taken away", "preemption")
    if reservation:
        return Ask("pause", f"there is room for {workers + reservation} workers", "resize")
    return None
