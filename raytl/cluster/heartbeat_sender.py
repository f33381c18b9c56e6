"""The worker's end of the heartbeat: a thread that reports the worker's status to the driver and obeys its requests."""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

from raytl.cluster.heartbeat import Heartbeat
from raytl.world import World

_MAIN_EVERY_S, _OTHERS_EVERY_S = 2.0, 4.0
"""Heartbeat intervals: rank 0 receives the driver's requests and passes them on with the training step."""
_EXIT_CODE = 75
_STDLIB = sysconfig.get_path("stdlib") + os.sep


@contextlib.contextmanager
def sending_heartbeats(world: World, actor: Any, attempt: int) -> Iterator[None]:
    """Send heartbeats of `world.status` to the coordinator actor while inside; an exit request ends the process."""
    world.status.last_contact = time.monotonic()
    stop, work_thread = threading.Event(), threading.get_ident()
    sender = threading.Thread(target=_send, args=(world, actor, attempt, work_thread, stop), daemon=True)
    sender.start()
    try:
        yield
    finally:
        stop.set()
        world.status.last_contact = None


def _send(world: World, actor: Any, attempt: int, work_thread: int, stop: threading.Event) -> None:
    import ray

    every_s = _MAIN_EVERY_S if world.is_main else _OTHERS_EVERY_S
    host, node = ray.util.get_node_ip_address(), ray.get_runtime_context().get_node_id()
    while not stop.is_set():
        with contextlib.suppress(ray.exceptions.RayError):
            sent = time.monotonic()
            request = ray.get(
                actor.heartbeat.remote(attempt, heartbeat_of(world, host, node, work_thread)), timeout=every_s * 5
            )
            if stop.is_set():
                break
            world.status.last_contact = sent
            world.status.pause_requested = request is not None and request.action == "pause"
            if request is not None and request.action == "exit":
                os._exit(_EXIT_CODE)
        stop.wait(every_s)


def heartbeat_of(world: World, host: str, node: str, work_thread: int) -> Heartbeat:
    """Return the current heartbeat; the line that `work_thread` executes is looked up only once the worker stalls."""
    status = world.status
    stalled_s = time.monotonic() - status.progressed_at
    location = _location(work_thread) if stalled_s > _OTHERS_EVERY_S else ""
    return Heartbeat(world.rank, host, node, os.getpid(), status.activity, status.in_collective, stalled_s, location)


def _location(thread: int) -> str:
    """Return the innermost line of the thread's stack that is not in a library, as file:line."""
    frame = sys._current_frames().get(thread)
    frames = traceback.extract_stack(frame) if frame else []
    own = [each for each in frames if not _is_library(each.filename)] or frames
    return f"{os.path.relpath(own[-1].filename)}:{own[-1].lineno}" if own else ""


def _is_library(file: str) -> bool:
    """Return True for a file of the standard library or of an installed package other than raytl."""
    in_site_packages = f"{os.sep}site-packages{os.sep}" in file
    return (in_site_packages or file.startswith(_STDLIB)) and f"{os.sep}raytl{os.sep}" not in file
