"""Limit how often an action runs, such as reporting progress."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Throttle:
    """Allow an action at most once every `every_s` seconds; `last` is when it last ran, by `clock`."""

    every_s: float
    clock: Callable[[], float] = time.monotonic
    last: float = -math.inf

    def is_due(self) -> bool:
        """Return True, and start the next interval, if the last one is over."""
        now = self.clock()
        if now - self.last < self.every_s:
            return False
        self.last = now
        return True
