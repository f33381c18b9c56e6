"""Workers that start while their driver still imports torch and plans: `run_group` adopts them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from raytl.cluster.coordinator import start_coordinator
from raytl.cluster.machines import machines
from raytl.cluster.placement import place, runs_in_process
from raytl.cluster.reservation import is_ready, release, reserve
from raytl.cluster.session import for_group, session
from raytl.cluster.workers import Workers, start_workers
from raytl.config.schema import ComputeConfig
from raytl.errors import RaytlError

_ROOM_S = 1.0
"""Time in which free resources are granted. Without free resources, workers start when the plan is made."""
_KEEP_S = 120.0
"""A plan that takes longer (a large download) does not keep resources from other jobs."""
_POLL_S = 0.05


@dataclass
class Early:
    """Workers and the coordinator's actor, for the first run that has the same `compute`."""

    compute: ComputeConfig
    coordinator: Any
    workers: Workers | None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take_workers(self) -> Workers | None:
        """Return the workers, once; None if they were stopped before."""
        with self._lock:
            workers, self.workers = self.workers, None
        return workers

    def stop(self) -> None:
        """Stop the workers that no run has taken."""
        if (workers := self.take_workers()) is not None:
            workers.stop()


_EARLY: ContextVar[Early | None] = ContextVar("early workers", default=None)


def adopt(compute: ComputeConfig) -> Early | None:
    """Return what was started early for a run with this `compute`, once."""
    early = _EARLY.get()
    if early is None or early.compute != compute:
        return None
    _EARLY.set(None)
    return early


@contextlib.contextmanager
def started_early(compute: ComputeConfig, *modules: str) -> Iterator[None]:
    """Connect to Ray and start the workers of `compute`, which import `modules`; stop them if no run has taken them.

    Nothing is started without Ray or without free resources. A problem is left to the run that would meet it too.
    """
    with contextlib.ExitStack() as stack:
        early = None
        if not runs_in_process(compute):
            with contextlib.suppress(RaytlError):
                early = _start(stack, compute, modules)
        before = _EARLY.set(early)
        try:
            yield
        finally:
            _EARLY.reset(before)


def _start(stack: contextlib.ExitStack, compute: ComputeConfig, modules: tuple[str, ...]) -> Early | None:
    stack.enter_context(session(compute.cluster, for_group(compute)))
    alive = [machine for machine in machines() if not machine.draining]
    placement = place(compute, [each.size for each in alive], [each.free for each in alive])
    group = reserve(placement)
    until = time.monotonic() + _ROOM_S
    try:
        while not is_ready(group):
            if time.monotonic() > until:
                release([group])
                return None
            time.sleep(_POLL_S)
        channel = start_coordinator()  # before the workers: Ray frees memory by killing the newest process first
        workers = start_workers(placement, group)
        workers.preload(*modules)
        early = Early(compute, channel, workers)
    except BaseException:
        release([group])  # ends its workers too
        raise
    stack.callback(early.stop)
    timer = threading.Timer(_KEEP_S, early.stop)
    timer.daemon = True
    timer.start()
    stack.callback(timer.cancel)
    return early
