"""A Ray session that starts in the background, while this process imports torch and plans."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from contextvars import ContextVar

from raytl.cluster.session import Prestart, prepare_environment, session
from raytl.cluster.sigterm import exiting_on_sigterm

_STARTED: ContextVar[threading.Event | None] = ContextVar("background session", default=None)


@contextlib.contextmanager
def session_in_background(cluster: str, prestart: Prestart) -> Iterator[None]:
    """Start a session without waiting for it: `await_session` does, and `session` reuses it. Shut it down at the end.

    A problem is left to the `session` that meets it too.
    """
    prepare_environment(cluster)  # before this thread imports torch
    import ray  # noqa: F401 - two threads that import parts of one package can deadlock

    started, ended = threading.Event(), threading.Event()
    holder = threading.Thread(target=_hold, args=(cluster, prestart, started, ended), daemon=True)
    holder.start()
    before = _STARTED.set(started)
    try:
        with exiting_on_sigterm():  # `ray.init` sets its handler in the main thread only
            yield
    finally:
        _STARTED.reset(before)
        ended.set()
        holder.join()


def await_session() -> None:
    """Wait until the session that starts in the background, if there is one, has started or failed."""
    if (started := _STARTED.get()) is not None:
        started.wait()


def _hold(cluster: str, prestart: Prestart, started: threading.Event, ended: threading.Event) -> None:
    """Hold the session in the thread that started it: the kernel kills Ray's processes when that thread ends."""
    try:
        with session(cluster, prestart):
            started.set()
            ended.wait()
    except Exception as error:
        logging.getLogger("raytl").debug("no session in the background: %s", error)
    finally:
        started.set()
