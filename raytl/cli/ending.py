"""End a raytl process with its exit code, whatever native threads do meanwhile.

Ray leaves threads running after `ray.shutdown` (gRPC, the OpenCensus harvester, the OpenTelemetry reader). They are still
running while `exit` destroys the C++ objects that they use, which occasionally ends a successful process with a
segmentation fault.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import suppress


class Ending:
    """The end of this process. After `begin`, the process exits with its code as soon as Python's exit handlers have run,
    without the destructors of libraries. Create it before anything else registers a handler: the first one runs last."""

    def __init__(self) -> None:
        self._code: int | None = None
        atexit.register(self._leave)

    def begin(self, code: int) -> None:
        """Exit with `code` once the exit handlers have run, or at once after another Ctrl-C."""
        self._code = code
        signal.signal(signal.SIGINT, lambda *_: self._leave())

    def _leave(self) -> None:
        if self._code is None:
            return
        for stream in (sys.stdout, sys.stderr):
            with suppress(
                OSError, ValueError, AttributeError, RuntimeError
            ):  # the reader left, it is closed, or in a write
                stream.flush()
        os._exit(self._code)
