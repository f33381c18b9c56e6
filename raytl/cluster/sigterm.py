"""SIGTERM as the end of a driver that still cleans up, as `ray.init` arranges it in the main thread alone."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def exiting_on_sigterm() -> Iterator[None]:
    """Raise SystemExit where this process is when it receives SIGTERM inside, so that its lease, clock and uploads are finished.

    Nothing changes outside the main thread, which alone can set handlers, and for a process with a handler of its own.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
