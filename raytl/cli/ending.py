"""End a raytl process with its exit code, whatever native threads do meanwhile.

Ray leaves threads running after `ray.shutdown` (gRPC, the OpenCensus harvester, the OpenTelemetry reader). They are still
running while `exit` destroys the C++ objects that they use, which occasionally ends a successful process with a
segmentation fault.
"""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress


class Ending:
    """The end of this process. Once `code` is set, the process exits with it as soon as Python's exit handlers have run,
    without the destructors of libraries. Create it before anything else registers a handler: the first one runs last."""

    def __init__(self) -> None:
        self.code: int | None = None
        atexit.register(self._leave)

    def _leave(self) -> None:
        if self.code is None:
            return
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # the reader left, or the stream is closed
                stream.flush()
        os._exit(self.code)
