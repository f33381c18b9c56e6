"""Pass answers on, such as to the recorder of feedback: after the response, without delaying or failing it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from raytl.errors import first_line
from raytl.serving.metrics import Meter

_MAX_WAITING = 256
_MAX_BYTES = 64 << 20


class Observer(Protocol):
    """Something that sees each answer; it may take its time and may fail."""

    def on_answer(
        self, photo: bytes, answer: Mapping[str, Any], features: NDArray[np.float32] | None, version: str
    ) -> None:
        """See the bytes of a photo, its answer, its features and the version that answered."""
        ...

    def gauges(self) -> Mapping[str, float]:
        """Return what /metrics shows besides the server's own, by name."""
        ...

    def close(self) -> None:
        """Write what is not written yet."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class Observation:
    """A photo and its answer."""

    photo: bytes
    answer: Mapping[str, Any]
    features: NDArray[np.float32] | None
    version: str


class Observations:
    """A thread that passes answers on. At most 256 of them and 64 MiB of photos wait; what is more is dropped and counted."""

    def __init__(self, observer: Observer, meter: Meter) -> None:
        self._observer, self._meter = observer, meter
        self._waiting: queue.SimpleQueue[Observation | None] = queue.SimpleQueue()
        self._lock, self._count, self._bytes = threading.Lock(), 0, 0
        self._thread = threading.Thread(target=self._run, name="observations", daemon=True)
        self._thread.start()

    def add(self, observation: Observation) -> None:
        """Pass an answer on soon, or drop it if too many wait; returns at once."""
        size = len(observation.photo)
        with self._lock:
            is_full = self._count >= _MAX_WAITING or self._bytes + size > _MAX_BYTES
            if not is_full:
                self._count += 1
                self._bytes += size
        if is_full:
            self._meter.count("observations_dropped_total")
        else:
            self._waiting.put(observation)

    def gauges(self) -> Mapping[str, float]:
        """Return the observer's gauges; none if it fails."""
        with suppress(Exception):
            return self._observer.gauges()
        return {}

    def close(self, timeout_s: float = 10.0) -> None:
        """Pass on what waits, then close the observer."""
        self._waiting.put(None)
        self._thread.join(timeout_s)
        with suppress(Exception):
            self._observer.close()

    def _run(self) -> None:
        while (each := self._waiting.get()) is not None:
            try:
                self._observer.on_answer(each.photo, each.answer, each.features, each.version)
            except Exception as error:
                self._meter.count("observations_failed_total")
                logging.getLogger("raytl").warning("an answer was not recorded: %s", first_line(error)[:300])
            with self._lock:
                self._count -= 1
                self._bytes -= len(each.photo)
