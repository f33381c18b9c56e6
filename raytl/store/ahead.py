"""What will be wanted soon, fetched in that order by threads beside those who use it, and let go of once it was taken."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K")
THREADS = 16
"""Requests in flight at once."""
MOST_BYTES = 256 << 20
"""Bytes that wait to be taken, about: as soon as there are so many, nothing more is begun."""


class Ahead(Generic[K]):
    """Fetches what is expected, in order, within a bound. Its threads are made at the first use and end with the process.

    What `fetch` raises is raised to whoever takes it.
    """

    def __init__(self, fetch: Callable[[K], bytes], threads: int = THREADS, most_bytes: int = MOST_BYTES) -> None:
        self._fetch, self._threads, self._most = fetch, threads, most_bytes
        self._changed = threading.Condition()
        self._coming: deque[K] = deque()
        self._flying: set[K] = set()
        self._here: dict[K, bytes | Exception] = {}
        self._bytes = 0
        self._running = 0

    def expect(self, keys: Iterable[K]) -> None:
        """These will be taken, in this order, after all that was expected before."""
        with self._changed:
            known = {*self._coming, *self._flying, *self._here}
            self._coming.extend(key for key in dict.fromkeys(keys) if key not in known)
            for _ in range(min(self._threads, len(self._coming)) - self._running):
                threading.Thread(target=self._work, name="ahead", daemon=True).start()
                self._running += 1
            self._changed.notify_all()

    def take(self, key: K) -> bytes:
        """What is under `key`: fetched by now, or on its way, or fetched here and now."""
        with self._changed:
            self._changed.wait_for(lambda: key not in self._flying)
            found = self._here.pop(key, None)
            if isinstance(found, bytes):
                self._bytes -= len(found)
            elif found is None:
                self._passed_over(key)
            self._changed.notify_all()
        if isinstance(found, Exception):
            raise found
        return self._fetch(key) if found is None else found

    def _passed_over(self, key: K) -> None:
        """Another order than was expected: what nobody came for must not hold up the rest."""
        if key in self._coming:
            self._coming.remove(key)
        if self._bytes >= self._most:
            self._here.clear()
            self._bytes = 0

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._coming and self._bytes < self._most)
                key = self._coming.popleft()
                self._flying.add(key)
            try:
                fetched: bytes | Exception = self._fetch(key)
            except Exception as exc:  # it belongs to whoever wants this
                fetched = exc
            with self._changed:
                self._flying.discard(key)
                self._here[key] = fetched
                self._bytes += len(fetched) if isinstance(fetched, bytes) else 0
                self._changed.notify_all()
