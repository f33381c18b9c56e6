"""The door to Ray Data: a pipeline whose rows are parts, in a fixed pool of actors, watched so that it never waits in silence.

A row is a whole part, so a restart loses nothing that is finished, and each actor fetches, decodes and computes with the one
loop that `raytl predict` has. Actors report each second how far they are to one more actor, which reserves no CPU.
"""

from __future__ import annotations

import contextlib
import logging
import marshal
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raytl.batch_inference.part import Job, PartWriter
from raytl.batch_inference.plan import Part
from raytl.batch_inference.record import RECEIPT_FORMAT, Receipt
from raytl.batch_inference.sizing import Sizing
from raytl.batch_inference.stall import REPORT_EVERY_S, Limits, Situation, fits, is_stuck, waits_for
from raytl.cluster.machines import machines
from raytl.errors import RaytlError, WorkerFailed, WorkersLost, first_line
from raytl.events import Event, Message, OnEvent, Work
from raytl.throttle import Throttle

OnReceipt = Callable[[int, Receipt], None]
"""Called with the number of each part that is finished, and its receipt."""
OnProgress = Callable[[int], None]
"""Called with the photos that are done in parts in progress."""
_POLL_S = 0.5
_REPORT_S = 1.0
_ANSWER_S = 10.0
_MAX_MESSAGES = 100
_CORE_LEVEL = "RAY_BACKEND_LOG_LEVEL"


@dataclass(frozen=True)
class Pool:
    """The actors of a batch, how long they may be idle, and how often they may die."""

    sizing: Sizing
    limits: Limits
    max_failures: int


@dataclass
class Progress:
    """What the actors report: how many have started, the parts in progress with the photos done, and messages. An actor itself."""

    started: int = 0
    current: dict[str, int] = field(default_factory=dict)
    messages: list[tuple[str, str]] = field(default_factory=list)

    def start(self) -> None:
        """Count an actor that has loaded its model."""
        self.started += 1

    def at(self, part: str, done: int) -> None:
        """Record the photos of a part that are done."""
        self.current[part] = done

    def end(self, part: str) -> None:
        """Forget a part that is finished."""
        self.current.pop(part, None)

    def say(self, text: str, level: str) -> None:
        """Keep a message for the driver."""
        if len(self.messages) < _MAX_MESSAGES and (text, level) not in self.messages:
            self.messages.append((text, level))

    def seen(self) -> tuple[int, dict[str, int], list[tuple[str, str]]]:
        """Return everything."""
        return self.started, self.current, self.messages


class _PartActor:
    """An actor of Ray Data: a part in, its receipt or an error out."""

    def __init__(self, job: Job, threads: int, folder: str, progress: Any) -> None:
        import torch

        with contextlib.suppress(OSError):
            os.chdir(folder)  # photos may have relative paths
        torch.set_num_threads(threads)
        self._job, self._progress, self._part = job, progress, ""
        self._throttle = Throttle(_REPORT_S, time.monotonic)
        self._writer: PartWriter | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        number, name, photos, digest = marshal.loads(row["part"])  # noqa: S302 - from the driver
        part, self._part = Part(number, tuple(photos), digest), name
        try:
            receipt = self._loaded().write(part)
        except RaytlError as error:  # Ray would retry it, or wrap it in a text of its own
            return {"number": number, "receipt": b"", "error": error}
        self._progress.end.remote(name)
        return {"number": number, "receipt": receipt.encoded(), "error": None}

    def _loaded(self) -> PartWriter:
        if self._writer is None:
            self._writer = PartWriter(self._job, self._job.predictor(self._on_event))
            self._progress.start.remote()
        return self._writer

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Work) and self._throttle.is_due():
            self._progress.at.remote(self._part, event.done)
        elif isinstance(event, Message):
            self._progress.say.remote(event.text, event.level)


def predict_parts(
    job: Job, parts: Sequence[Part], pool: Pool, on_receipt: OnReceipt, on_progress: OnProgress, on_event: OnEvent
) -> None:
    """Predict the parts in actors of the current session's cluster.

    Raises:
        WorkersLost: no actor got its resources, none made progress in time, or too many died.
        WorkerFailed: an actor failed with an error that is not for users.
        RaytlError: a part failed.
    """
    import ray

    actor: Any = ray.remote(num_cpus=0, max_restarts=0)(Progress)
    progress = actor.remote()
    results: queue.Queue[Any] = queue.Queue()
    with _quiet():
        watch = _Watch(pool, progress, on_event)
        rows = _rows(job, parts, pool.sizing, progress)
        threading.Thread(target=_consume, args=(rows, results), name="ray-data", daemon=True).start()
        while (row := _next(results, watch, on_progress)) is not None:
            number = int(row["number"])
            if row["error"] is not None:
                raise row["error"]
            on_receipt(number, RECEIPT_FORMAT.read(row["receipt"], f"part {number}"))


def _next(results: queue.Queue[Any], watch: _Watch, on_progress: OnProgress) -> dict[str, Any] | None:
    """Return the next row; None after the last one. Meanwhile, watch the actors."""
    while True:
        try:
            result = results.get(timeout=_POLL_S)
        except queue.Empty:
            on_progress(watch.check())
            continue
        if isinstance(result, BaseException):
            raise _translated(result) from result
        watch.moved()
        row: dict[str, Any] | None = result
        return row


class _Watch:
    """The clock of a batch: raises once nothing moves for too long, and says what is waited for before that."""

    def __init__(self, pool: Pool, progress: Any, on_event: OnEvent) -> None:
        self._pool, self._progress, self._on_event = pool, progress, on_event
        self._since, self._last = time.monotonic(), (0, dict[str, int]())
        self._had_room = fits([each.free for each in machines() if not each.draining], pool.sizing)
        self._throttle = Throttle(REPORT_EVERY_S, time.monotonic)
        self._said = set[tuple[str, str]]()

    def moved(self) -> None:
        """Record that a part was finished."""
        self._since = time.monotonic()

    def check(self) -> int:
        """Return the photos that are done in parts in progress.

        Raises:
            WorkersLost: the batch is stuck, or too many actors died.
        """
        started, current, messages = self._seen()
        for text, level in messages:
            if (text, level) not in self._said:
                self._said.add((text, level))
                self._on_event(Message(text, level))
        if (started, current) != self._last:
            self._last = (started, current)
            self.moved()
        self._check_deaths(started, current)
        self._check_time(started, current)
        return sum(current.values())

    def _seen(self) -> tuple[int, dict[str, int], list[tuple[str, str]]]:
        import ray

        try:
            seen: tuple[int, dict[str, int], list[tuple[str, str]]] = ray.get(
                self._progress.seen.remote(), timeout=_ANSWER_S
            )
        except ray.exceptions.RayError:
            return *self._last, []
        return seen

    def _check_deaths(self, started: int, current: dict[str, int]) -> None:
        died = started - self._pool.sizing.actors
        if died > self._pool.max_failures:
            raise WorkersLost(
                f"actors died {died} times, more than compute.max_failures ({self._pool.max_failures}); in progress: "
                f"{', '.join(sorted(current)[:8]) or 'no part'}. Perhaps the memory is too small: use fewer --workers. The same command "
                "resumes"
            )

    def _check_time(self, started: int, current: dict[str, int]) -> None:
        idle_s = time.monotonic() - self._since
        if idle_s < min(REPORT_EVERY_S, self._pool.limits.start_s, self._pool.limits.progress_s):
            return
        nodes = [each for each in machines() if not each.draining]
        sizes, free = [each.size for each in nodes], [each.free for each in nodes]
        seen = Situation(started, self._had_room, idle_s, sizes, free, current)
        text = waits_for(seen, self._pool.sizing)
        if is_stuck(seen, self._pool.limits):
            raise WorkersLost(f"{text}. Finished parts are kept; the same command resumes")
        if self._throttle.is_due():
            self._on_event(Message(f"waiting: {text}", "warning"))


def _rows(job: Job, parts: Sequence[Part], wanted: Sizing, progress: Any) -> Iterator[dict[str, Any]]:
    """Yield a row for each part that an actor has predicted, in any order."""
    from ray.data import ActorPoolStrategy, from_items

    rows = [{"part": marshal.dumps((each.number, each.name, list(each.photos), each.digest))} for each in parts]
    actor: Any = _PartActor
    dataset = from_items(rows, override_num_blocks=len(rows)).map(
        actor,
        fn_constructor_args=(job, wanted.threads, str(Path.cwd()), progress),
        compute=ActorPoolStrategy(size=wanted.actors, max_tasks_in_flight_per_actor=wanted.in_flight),
        num_cpus=wanted.cpus,
        num_gpus=wanted.gpus or None,
    )
    yield from dataset.iter_rows()


def _consume(rows: Iterator[dict[str, Any]], results: queue.Queue[Any]) -> None:
    try:
        for row in rows:
            results.put(row)
        results.put(None)
    except BaseException as error:  # for the driver's thread
        results.put(error)


def _translated(error: BaseException) -> RaytlError:
    """Return the error of a pipeline for users."""
    cause: Any = error
    while getattr(cause, "cause", None) is not None or cause.__cause__ is not None:
        cause = getattr(cause, "cause", None) or cause.__cause__
    if isinstance(cause, RaytlError):
        return cause
    return WorkerFailed(f"an actor failed with {type(cause).__name__}: {first_line(cause)}. Finished parts are kept")


@contextlib.contextmanager
def silent_core() -> Iterator[None]:
    """Let Ray's core print nothing in the sessions that start inside: it calls the restarts of actors an error."""
    before = os.environ.get(_CORE_LEVEL)
    os.environ.setdefault(_CORE_LEVEL, "fatal")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_CORE_LEVEL, None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let Ray Data print nothing."""
    from ray.data import DataContext

    logger, context = logging.getLogger("ray.data"), DataContext.get_current()
    before = logger.level, context.enable_progress_bars
    logger.setLevel(logging.CRITICAL)
    context.enable_progress_bars = False
    try:
        yield
    finally:
        logger.setLevel(before[0])
        context.enable_progress_bars = before[1]
