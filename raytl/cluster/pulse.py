"""What this process is doing now: noted by the work as it goes, told to the driver by a thread beside it.

A worker is one process, and what it is doing is one thing, so this is the process's own; where nobody watches (no
Ray, a test), notes are kept and nothing else happens.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

from raytl.cluster.heartbeat import Ask, Heartbeat
from raytl.world import World

_LEAD_S, _OTHERS_S = 1.0, 4.0
"""Seconds between beats: the leading rank hears what is asked and passes it on with the step."""
_OUT_OF_TOUCH_S = 10.0
"""Far less than Ray takes to call a machine dead, so that who is replaced has stopped writing before."""
_EXIT_CODE = 75


class _Pulse:
    """`heard` is when the driver last answered; None where nobody watches."""

    def __init__(self) -> None:
        self.heard: float | None = None
        self.begin()

    def begin(self) -> None:
        self.doing, self.waits, self.since = "starting", False, time.monotonic()
        self.asked: Ask | None = None


_pulse = _Pulse()


def doing(what: str, waits: bool = False) -> None:
    """Note that this process gets on, and what it does next; with `waits`, it waits for the others in a collective."""
    _pulse.doing, _pulse.waits, _pulse.since = what, waits, time.monotonic()


def got_on() -> None:
    """Note that this process gets on with what it does."""
    _pulse.since = time.monotonic()


def pause_asked() -> bool:
    """True once the driver wants a checkpoint and the worker back."""
    return _pulse.asked is not None and _pulse.asked.what == "pause"


def wait_for_touch() -> None:
    """Return while the driver is heard; a worker that is cut off waits here, as another may have taken its place."""
    while _pulse.heard is not None and time.monotonic() - _pulse.heard > _OUT_OF_TOUCH_S:
        threading.Event().wait(0.2)


@contextlib.contextmanager
def beating(world: World, board: Any, attempt: int) -> Iterator[None]:
    """Beats go out inside; the driver's wish to end is carried out at once."""
    _pulse.begin()
    _pulse.heard = time.monotonic()
    stop, thread = threading.Event(), threading.get_ident()
    every = _LEAD_S if world.is_main else _OTHERS_S
    heartbeats = threading.Thread(target=_heartbeat, args=(world, board, attempt, thread, every, stop), daemon=True)
    heartbeats.start()
    try:
        yield
    finally:
        stop.set()
        _pulse.heard = None


def _heartbeat(world: World, board: Any, attempt: int, thread: int, every: float, stop: threading.Event) -> None:
    import ray

    host, node = ray.util.get_node_ip_address(), ray.get_runtime_context().get_node_id()
    while not stop.is_set():
        with contextlib.suppress(ray.exceptions.RayError):
            sent = time.monotonic()
            answer = ray.get(board.heartbeat.remote(attempt, _now(world, host, node, thread)), timeout=every * 5)
            if stop.is_set():
                break
            _pulse.asked, _pulse.heard = answer, sent
            if answer is not None and answer.what == "end":
                os._exit(_EXIT_CODE)
        stop.wait(every)


def _now(world: World, host: str, node: str, thread: int) -> Heartbeat:
    still = time.monotonic() - _pulse.since
    line = _line(thread) if still > _OTHERS_S else ""
    return Heartbeat(world.rank, host, node, os.getpid(), _pulse.doing, _pulse.waits, still, line)


def _line(thread: int) -> str:
    """Where the work is: the innermost line of it that is not a library's, as file:line."""
    frame = sys._current_frames().get(thread)
    frames = traceback.extract_stack(frame) if frame else []
    own = [each for each in frames if f"{os.sep}site-packages{os.sep}" not in each.filename] or frames
    return f"{os.path.relpath(own[-1].filename)}:{own[-1].lineno}" if own else ""
