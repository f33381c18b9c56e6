"""Retry an action while its store is unavailable; any other error is final."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from raytl.errors import Unavailable

T = TypeVar("T")
MAX_PAUSE_S = 16.0
"""The longest wait between two attempts."""


def retried(action: Callable[[], T], attempts: int = 8, pause: Callable[[float], None] | None = None) -> T:
    """Return the result of `action`, with up to `attempts` attempts while it raises `Unavailable`.

    Waits between attempts double, with jitter: about 50 s in total.

    Raises:
        Unavailable: every attempt failed; the text has the attempts and the seconds.
    """
    began, pause = time.monotonic(), pause or time.sleep
    for attempt in range(attempts - 1):
        try:
            return action()
        except Unavailable:
            pause(random.uniform(0.5, 1.0) * min(2**attempt, MAX_PAUSE_S))  # noqa: S311 - spreads retries
    try:
        return action()
    except Unavailable as exc:
        raise Unavailable(f"{exc} (tried {attempts} times in {time.monotonic() - began:.0f} s)") from exc
