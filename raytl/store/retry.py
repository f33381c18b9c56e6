"""Trying again what the store could not do just now, and nothing else."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from raytl.errors import Unavailable

T = TypeVar("T")


def retried(action: Callable[[], T], attempts: int = 4, pause: Callable[[float], None] = time.sleep) -> T:
    """What `action` returns, tried up to `attempts` times while it raises `Unavailable`, with jittered waits between."""
    for attempt in range(attempts - 1):
        try:
            return action()
        except Unavailable:
            pause(random.uniform(0.5, 1.0) * 2**attempt)
    return action()
