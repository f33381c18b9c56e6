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
_IDLE_S = 30.0


class Prefetcher(Generic[K]):
    """Fetches what is expected, in order, within a bound. Its threads are made when they are needed, and end when they are
    not, or with the process.

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
        """From now on these will be taken, in this order; what was expected before and is not among them is let go of."""
        wanted = dict.fromkeys(keys)
        with self._changed:
            for key in self._here.keys() - wanted.keys():
                self._let_go(key)
            self._coming = deque(key for key in wanted if key not in self._here and key not in self._flying)
            for _ in range(min(self._threads, len(self._coming)) - self._running):
                threading.Thread(target=self._work, name="ahead", daemon=True).start()
                self._running += 1
            self._changed.notify_all()

    def take(self, key: K) -> bytes:
        """What is under `key`: fetched by now, or on its way, or fetched here and now."""
        with self._changed:
            self._changed.wait_for(lambda: key not in self._flying)
            found = self._let_go(key)
            if found is None and key in self._coming:
                self._coming.remove(key)
            self._changed.notify_all()
        if isinstance(found, Exception):
            raise found
        return self._fetch(key) if found is None else found

    def _let_go(self, key: K) -> bytes | Exception | None:
        found = self._here.pop(key, None)
        self._bytes -= len(found) if isinstance(found, bytes) else 0
        return found

    def _next(self) -> K | None:
        """What to fetch next, as soon as there is room; None where nothing is expected for a while."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._coming and self._bytes < self._most, _IDLE_S):
                self._running -= 1
                self._changed.notify_all()
                return None
            key = self._coming.popleft()
            self._flying.add(key)
            return key

    def _work(self) -> None:
        while (key := self._next()) is not None:
            try:
                fetched: bytes | Exception = self._fetch(key)
            except Exception as exc:  # it belongs to whoever wants this
                fetched = exc
            with self._changed:
                self._flying.discard(key)
                self._here[key] = fetched
                self._bytes += len(fetched) if isinstance(fetched, bytes) else 0
                self._changed.notify_all()
