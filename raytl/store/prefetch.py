"""Prefetch values in the order of their use, in background threads, and drop each once it is taken."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K")
THREADS = 16
"""Requests in flight at once."""
MAX_BYTES = 256 << 20
"""Approximate limit of bytes that wait to be taken; nothing more is fetched beyond it."""
_IDLE_S = 30.0


class Prefetcher(Generic[K]):
    """Fetches expected keys in order, within a limit of bytes. Threads start on demand and end when idle or with the process.

    An exception of `fetch` is raised by the `take` of its key.
    """

    def __init__(self, fetch: Callable[[K], bytes], threads: int = THREADS, max_bytes: int = MAX_BYTES) -> None:
        self._fetch, self._threads, self._max_bytes = fetch, threads, max_bytes
        self._changed = threading.Condition()
        self._expected: deque[K] = deque()
        self._in_flight: set[K] = set()
        self._results: dict[K, bytes | Exception] = {}
        self._bytes = 0
        self._running = 0

    def expect(self, keys: Iterable[K]) -> None:
        """Prefetch these keys in this order, and drop earlier ones that are not among them."""
        wanted = dict.fromkeys(keys)
        with self._changed:
            for key in self._results.keys() - wanted.keys():
                self._drop(key)
            self._expected = deque(key for key in wanted if key not in self._results and key not in self._in_flight)
            for _ in range(min(self._threads, len(self._expected)) - self._running):
                threading.Thread(target=self._work, name="prefetch", daemon=True).start()
                self._running += 1
            self._changed.notify_all()

    def take(self, key: K) -> bytes:
        """Return the value of `key`: prefetched, in flight, or fetched now."""
        with self._changed:
            self._changed.wait_for(lambda: key not in self._in_flight)
            result = self._drop(key)
            if result is None and key in self._expected:
                self._expected.remove(key)
            self._changed.notify_all()
        if isinstance(result, Exception):
            raise result
        return self._fetch(key) if result is None else result

    def _drop(self, key: K) -> bytes | Exception | None:
        result = self._results.pop(key, None)
        self._bytes -= len(result) if isinstance(result, bytes) else 0
        return result

    def _next(self) -> K | None:
        """Return the next key to fetch, once there is space; None if nothing is expected for a while."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._expected and self._bytes < self._max_bytes, _IDLE_S):
                self._running -= 1
                self._changed.notify_all()
                return None
            key = self._expected.popleft()
            self._in_flight.add(key)
            return key

    def _work(self) -> None:
        while (key := self._next()) is not None:
            try:
                fetched: bytes | Exception = self._fetch(key)
            except Exception as exc:  # raised by `take`
                fetched = exc
            with self._changed:
                self._in_flight.discard(key)
                self._results[key] = fetched
                self._bytes += len(fetched) if isinstance(fetched, bytes) else 0
                self._changed.notify_all()
