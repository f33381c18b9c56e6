"""The work behind the endpoints: photos to answers, counted and passed on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.background import BackgroundTask

from raytl.errors import StoreError
from raytl.serving.access import Access, allowed_uri
from raytl.serving.body import Bodies
from raytl.serving.live import Answered, LiveModel, ServedModel
from raytl.serving.metrics import Counters
from raytl.serving.observe import Observation, Observations, Observer
from raytl.serving.options import ServeOptions
from raytl.serving.pool import PhotoPool
from raytl.serving.refusal import Refusal, of_store
from raytl.store.open import fetched
from raytl.store.retry import retried

_FETCHES = 4
Image = bytes | NDArray[np.uint8]


class Service:
    """A live model with the limits, counters and threads around it."""

    def __init__(self, options: ServeOptions, live: LiveModel, name: str, observer: Observer | None = None) -> None:
        limits = options.limits
        self.options, self.live, self.name = options, live, name
        self.counters = Counters()
        self.access = Access(options.token, options.is_local or options.open_metrics)
        self.bodies = Bodies(limits)
        self.photos = PhotoPool(options.worker_count, limits.queue)
        self.fetches = PhotoPool(_FETCHES, limits.queue)
        self.observations = Observations(observer, self.counters) if observer is not None else None
        if self.observations is not None:
            self.observations.use(live.current)
            live.on_swap = self.observations.use

    async def answers(self, images: Sequence[Image], model: ServedModel) -> list[Answered | Refusal]:
        """Return the answer for each image, or why it has none.

        Raises:
            Refusal: 413, they never fit into the queue; 503, it is full.
        """
        return await self.photos.map(partial(self._answer, model), images)  # type: ignore[return-value]

    async def fetched(self, uri: str) -> bytes:
        """Return the bytes of an object that a request names.

        Raises:
            Refusal: it is not below an allowed prefix, cannot be fetched, or is too large.
        """
        allowed = allowed_uri(uri, self.options.allow)
        return (await self.fetches.map(self._fetch, [allowed]))[0]  # type: ignore[return-value]

    def observing(
        self, images: Sequence[Image], answers: Sequence[Answered | Refusal], version: str
    ) -> BackgroundTask | None:
        """Return what passes the answers for image files on, after the response; None without an observer."""
        if self.observations is None:
            return None
        return BackgroundTask(_observe, self.observations, images, answers, version)

    def metrics(self) -> str:
        """Return all metrics as Prometheus text."""
        live, card = self.live, self.live.current.bundle.card
        gauges: Mapping[str, float] = {
            "queue_photos": self.photos.waiting,
            "pending_photos": self.photos.pending,
            "body_bytes": self.bodies.held_bytes,
            "swaps": live.swaps,
            "swap_failures": live.failures,
            "stale": float(bool(live.trouble)),
        } | dict(self.observations.gauges() if self.observations else {})
        model = {"model": self.name, "version": live.current.version, "backbone": card.model, "runtime": card.runtime}
        return self.counters.text(gauges, model)

    def readiness(self, is_detailed: bool) -> dict[str, Any]:
        """Return that the server is ready, and the version; with `is_detailed`, also why a newer one is not served."""
        state: dict[str, Any] = {"ready": True, "version": self.live.current.version}
        if self.live.trouble:
            state |= {"stale": True} | ({"trouble": self.live.trouble} if is_detailed else {})
        return state

    def close(self) -> None:
        """End the threads, after what waits to be passed on."""
        self.photos.close()
        self.fetches.close()
        if self.observations is not None:
            self.observations.close()

    def _answer(self, model: ServedModel, image: Image) -> Answered | Refusal:
        began = time.perf_counter()
        try:
            answered = model.answered(image if isinstance(image, np.ndarray) else model.pixels(image))
        except Refusal as refusal:
            return refusal
        seconds = time.perf_counter() - began
        self.photos.observe(seconds)
        self.counters.answer(answered.answer, seconds, len(model.bundle.card.classes))
        return answered

    def _fetch(self, uri: str) -> bytes:
        try:
            return retried(lambda: fetched(uri, self.options.limits.max_bytes, self.options.s3), attempts=2)
        except StoreError as error:
            raise of_store(error) from None


async def _observe(
    observations: Observations, images: Sequence[Image], answers: Sequence[Answered | Refusal], version: str
) -> None:
    """Pass answers on; a coroutine, as Starlette runs plain functions in a thread, and this returns at once."""
    for image, answered in zip(images, answers, strict=True):
        if isinstance(answered, Answered) and isinstance(image, bytes):
            observations.add(Observation(image, answered.answer, answered.features, version))
