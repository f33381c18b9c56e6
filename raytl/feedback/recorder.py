"""Record the answers of a server. It never waits: a full queue drops the answer and counts it.

A thread samples the answers of each window, and at the window's end redacts and stores what it kept: photos first, then the
records, in whole objects. Torch and Ray are not needed.
"""

from __future__ import annotations

import hashlib
import queue
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.bundle.card import BundleCard
from raytl.bundle.client import view_of
from raytl.data.bit_depth import BitDepth
from raytl.data.decode import load
from raytl.events import Message, OnEvent, ignore
from raytl.feedback.layout import RECORDS, STAMP, host_token, photo_key
from raytl.feedback.monitor import Monitor, open_monitor, view_properties
from raytl.feedback.record import TOP, Record, Why, confidence_in, encoded_features, label_in, margin_in
from raytl.feedback.redact import Redact, suffix_of, unredacted
from raytl.feedback.reservoir import Window
from raytl.feedback.retention import Retention
from raytl.store.contract import ObjectStore
from raytl.store.retry import retried

_QUEUE = 512
_QUEUE_BYTES = 128 << 20
_POLL_S = 1.0
CLOSE_S = 30.0
"""The longest time that the last window has to be stored."""
_MAX_PIXELS = 1 << 32
"""The server has refused photos of more than its own limit."""


@dataclass(frozen=True)
class Keep:
    """The limits of what is kept: images of each window of `window_s` by reason, and how long, in `days` and bytes of the whole prefix."""

    random_images: int = 40
    uncertain: int = 40
    unfamiliar: int = 40
    window_s: float = 3600.0
    days: float = 30.0
    max_bytes: int = 10 << 30
    max_photo_bytes: int = 16 << 20


@dataclass
class Counts:
    """Counts since the start of a recorder: answers `seen`, `dropped` as the queue was full, photos `stored` and `unstored`
    (refused by the redaction, too large, or of an unknown kind), and windows that could not be written, `failed`."""

    seen: int = 0
    dropped: int = 0
    stored: int = 0
    unstored: int = 0
    failed: int = 0


@dataclass(frozen=True)
class _Answer:
    """An answer in the queue; `pixels` are those of the upright photo, if the server has them."""

    photo: bytes
    answer: Mapping[str, Any]
    features: NDArray[Any] | None
    version: str
    time: datetime
    pixels: NDArray[np.uint8] | None
    properties: Mapping[str, float] = field(default_factory=dict)


def _now() -> datetime:
    return datetime.now(UTC)


class Recorder:
    """Keeps answers of one server in the feedback prefix `store`. `view` is that of the bundle's card."""

    def __init__(
        self,
        store: ObjectStore,
        host: str,
        keep: Keep = Keep(),
        *,
        view: Mapping[str, Any] | None = None,
        monitor: Monitor | None = None,
        redact: Redact = unredacted,
        now: Callable[[], datetime] = _now,
        on_event: OnEvent = ignore,
        seed: int | None = None,
    ) -> None:
        self.counts, self._host, self._keep = Counts(), host_token(host), keep
        self._store, self._redact, self._now, self._on_event = store, redact, now, on_event
        self._view, self._monitor = view, monitor
        self._rng = random.Random(seed)  # noqa: S311 - sampling
        self._retention = Retention(store, keep.days, keep.max_bytes)
        self._queue: queue.Queue[_Answer | None] = queue.Queue(_QUEUE)
        self._bytes, self._changing = 0, threading.Lock()
        self._window = self._new_window()
        self._thread = threading.Thread(target=self._run, name="raytl-feedback", daemon=True)
        self._thread.start()

    def on_answer(self, photo: bytes, answer: Mapping[str, Any], features: NDArray[Any] | None, version: str) -> None:
        """See an answer of the server; see `add`."""
        self.add(photo, answer, features, version)

    def on_model(self, folder: Path, card: BundleCard, version: str) -> None:
        """Change to the monitor and the view of the bundle in `folder`, which answers from now on as `version`."""
        monitor: list[Monitor | None] = [None]
        self._guarded("there is no monitor", lambda: monitor.append(open_monitor(folder, card, version)))
        self.use(monitor[-1], asdict(card)["view"])

    def gauges(self) -> dict[str, float]:
        """Return what Prometheus shows: the recorder's counts, and the monitor's gauges if there is one."""
        counts = {f"raytl_feedback_{name}_total": float(value) for name, value in asdict(self.counts).items()}
        return counts | (self._monitor.gauges() if self._monitor is not None else {})

    def add(
        self,
        photo: bytes,
        answer: Mapping[str, Any],
        features: NDArray[Any] | None,
        version: str,
        pixels: NDArray[np.uint8] | None = None,
    ) -> None:
        """Take note of the answer of the model `version` to a photo. Returns at once, and never raises.

        `pixels (h, w, 3)` are those of the upright photo, if they are at hand: then it is not decoded again.
        """
        size = len(photo) + (0 if pixels is None else pixels.nbytes)
        with self._changing:
            self.counts.seen += 1
            if self._bytes + size > _QUEUE_BYTES:
                self.counts.dropped += 1
                return
            self._bytes += size
        try:
            self._queue.put_nowait(_Answer(photo, answer, features, version, self._now(), pixels))
        except queue.Full:
            with self._changing:
                self._bytes -= size
                self.counts.dropped += 1

    def use(self, monitor: Monitor | None, view: Mapping[str, Any] | None) -> None:
        """Change to the monitor and the view of another version of the model."""
        self._view, self._monitor = view, monitor

    @property
    def monitor(self) -> Monitor | None:
        """The monitor in use, for its gauges."""
        return self._monitor

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Store what the window has so far, and end the thread; after `timeout_s` say that it is not stored."""
        deadline = time.monotonic() + timeout_s
        with suppress(queue.Full):
            self._queue.put(None, timeout=timeout_s)
            self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._on_event(Message(f"feedback: the last window was not stored within {timeout_s:g} s", "warning"))

    def _run(self) -> None:
        resumed: Monitor | None = None
        while True:
            if (monitor := self._monitor) is not resumed:
                resumed = self._resumed(monitor)
            try:
                item = self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                self._flush_if_over()
                continue
            if item is None:
                self._flush()
                return
            self._flush_if_over()
            self._consider(item)

    def _resumed(self, monitor: Monitor | None) -> Monitor | None:
        if monitor is not None:
            self._guarded("the monitor's state could not be read", lambda: monitor.resume(self._store, self._host))
        return monitor

    def _consider(self, item: _Answer) -> None:
        with self._changing:
            self._bytes -= len(item.photo) + (0 if item.pixels is None else item.pixels.nbytes)
        try:
            self._offer(item)
        except Exception as error:  # an odd photo must not end the recording
            self._on_event(Message(f"feedback: an answer was not recorded: {error}", "warning"))

    def _offer(self, item: _Answer) -> None:
        view, monitor = self._view, self._monitor
        properties: dict[str, float] = {}
        if view is not None:
            pixels = item.pixels if item.pixels is not None else _pixels(item.photo, view)
            properties = view_properties(view_of(pixels, view))
        if monitor is not None and monitor.version == item.version:
            monitor.add(confidence_in(item.answer), item.features, properties)
        small = _Answer(item.photo, item.answer, item.features, item.version, item.time, None, properties)
        self._window.offer(small, margin_in(item.answer), bool(item.answer.get("unfamiliar")))

    def _new_window(self) -> Window[_Answer]:
        keep, self._began = self._keep, self._now()
        stamp = self._began.astimezone(UTC).strftime(STAMP)
        return Window(stamp, keep.random_images, keep.uncertain, keep.unfamiliar, self._rng)

    def _flush_if_over(self) -> None:
        if self._now() - self._began >= timedelta(seconds=self._keep.window_s):
            self._flush()

    def _flush(self) -> None:
        """Store the window and the monitor's state, delete what is expired, and begin the next window."""
        window, self._window = self._window, self._new_window()
        if window.seen:
            self._guarded(f"window {window.start} was not stored", lambda: self._store_window(window))
        if (monitor := self._monitor) is not None:
            self._guarded("the monitor's state was not stored", lambda: monitor.save(self._store, self._host))
        self._guarded("expired feedback was not deleted", lambda: self._retention.apply(self._now()))

    def _guarded(self, what: str, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:  # also of a full disk: the thread records the next window
            self.counts.failed += 1
            self._on_event(Message(f"feedback: {what}: {error}", "warning"))

    def _store_window(self, window: Window[_Answer]) -> None:
        records = [self._stored(item, why, window) for why, item in window.retained()]
        content = b"".join(record.line() for record in records)
        key = f"{RECORDS}{window.start}-{self._host}.jsonl"
        retried(lambda: self._store.put_bytes(key, content), attempts=4)

    def _stored(self, item: _Answer, why: Why, window: Window[_Answer]) -> Record:
        """Store the photo of an answer and return the record; one whose photo may not be stored has no suffix."""
        photo = self._redact(item.photo) if len(item.photo) <= self._keep.max_photo_bytes else None
        suffix = "" if photo is None else suffix_of(photo)
        digest = hashlib.sha256(photo if photo is not None and suffix else item.photo).hexdigest()
        if photo is not None and suffix:
            content = photo
            retried(lambda: self._store.put_bytes(photo_key(digest, suffix), content), attempts=4)
            self.counts.stored += 1
        else:
            self.counts.unstored += 1
        inclusion = window.inclusion if why == "random" else 0.0
        return replace(_record(item, digest, suffix, why), inclusion=inclusion, seen=window.seen)


def _pixels(photo: bytes, view: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Return the upright pixels of a photo as the server decoded it, also of a kind that the client of a bundle refuses."""
    depth = BitDepth(view["bits"], view.get("bits_fixed", False))
    return np.asarray(load(photo, _MAX_PIXELS).rgb(depth))


def _record(item: _Answer, digest: str, suffix: str, why: Why) -> Record:
    answer = item.answer
    top = sorted(answer.get("probabilities", {}).items(), key=lambda each: -each[1])[:TOP]
    flags = {"unfamiliar": answer.get("unfamiliar") is True, "abstained": answer.get("answered") is False}
    return Record(
        photo=digest,
        suffix=suffix,
        time=item.time.isoformat(timespec="seconds"),
        version=item.version,
        why=why,
        inclusion=0.0,
        label=label_in(answer),
        confidence=confidence_in(answer),
        probabilities={name: min(1.0, max(0.0, float(value))) for name, value in top},
        flags=tuple(name for name, is_set in flags.items() if is_set),  # type: ignore[misc]
        features=encoded_features(item.features),
        pixels=dict(item.properties),
    )
