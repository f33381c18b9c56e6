"""How a process of raytl ends: with its exit code, whatever native threads do meanwhile.

Ray leaves threads of its own running after `ray.shutdown` (gRPC's, OpenCensus' harvester, OpenTelemetry's reader). They
go on while `exit` destroys the C++ objects that they use, and once in a while that ends a process that did all its work
with a segmentation fault.
"""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress


class Ending:
    """Of this process: once `code` is set, it ends with that as soon as Python's own exit handlers have run, and without
    the destructors of libraries. To be made before anything else has registered a handler: the first runs last."""

    def __init__(self) -> None:
        self.code: int | None = None
        atexit.register(self._leave)

    def _leave(self) -> None:
        if self.code is None:
            return
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # nobody listens any more, or it is closed
                stream.flush()
        os._exit(self.code)
