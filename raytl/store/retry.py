"""Trying again what the store could not do just now, and nothing else."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from raytl.errors import Unavailable

T = TypeVar("T")
LONGEST_S = 16.0
"""The longest wait between two attempts."""


def retried(action: Callable[[], T], attempts: int = 8, pause: Callable[[float], None] | None = None) -> T:
    """What `action` returns, tried up to `attempts` times while it raises `Unavailable`, with jittered waits between
    that double (some 50 s in all).

    Raises:
        Unavailable: none did it; with how often it was tried, and for how long.
    """
    began, pause = time.monotonic(), pause or time.sleep
    for attempt in range(attempts - 1):
        try:
            return action()
        except Unavailable:
            pause(random.uniform(0.5, 1.0) * min(2**attempt, LONGEST_S))  # noqa: S311 - spreads retries
    try:
        return action()
    except Unavailable as exc:
        raise Unavailable(f"{exc} (tried {attempts} times in {time.monotonic() - began:.0f} s)") from exc
