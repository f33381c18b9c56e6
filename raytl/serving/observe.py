"""Pass answers on, such as to the recorder of feedback: after the response, without delaying or failing it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from raytl.bundle.card import BundleCard
from raytl.errors import first_line
from raytl.serving.live import ServedModel
from raytl.serving.metrics import Counters

_MAX_WAITING = 256
_MAX_BYTES = 64 << 20
CLOSE_S = 10.0
"""The longest time that answers which wait have at the end."""


class Observer(Protocol):
    """Something that sees each answer; it may take its time and may fail."""

    def on_answer(
        self, photo: bytes, answer: Mapping[str, Any], features: NDArray[np.float32] | None, version: str
    ) -> None:
        """See the bytes of a photo, its answer, its features and the version that answered."""
        ...

    def on_model(self, folder: Path, card: BundleCard, version: str) -> None:
        """Learn that the bundle in `folder` answers from now on as `version`."""
        ...

    def gauges(self) -> Mapping[str, float]:
        """Return what /metrics shows besides the server's own, by full name."""
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

    def __init__(self, observer: Observer, counters: Counters) -> None:
        self._observer, self._counters = observer, counters
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
            self._counters.count("observations_dropped_total")
        else:
            self._waiting.put(observation)

    def use(self, model: ServedModel) -> None:
        """Tell the observer which model answers from now on."""
        bundle = model.bundle
        with self._counted():
            self._observer.on_model(bundle.model.folder, bundle.card, model.version)

    def gauges(self) -> Mapping[str, float]:
        """Return the observer's gauges; none if it fails."""
        with suppress(Exception):
            return self._observer.gauges()
        return {}

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Pass on what waits, then close the observer."""
        self._waiting.put(None)
        self._thread.join(timeout_s)
        with suppress(Exception):
            self._observer.close()

    def _run(self) -> None:
        while (each := self._waiting.get()) is not None:
            with self._counted():
                self._observer.on_answer(each.photo, each.answer, each.features, each.version)
            with self._lock:
                self._count -= 1
                self._bytes -= len(each.photo)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count an error of the observer instead of raising it."""
        try:
            yield
        except Exception as error:
            self._counters.count("observations_failed_total")
            logging.getLogger("raytl").warning("an answer was not recorded: %s", first_line(error)[:300])
