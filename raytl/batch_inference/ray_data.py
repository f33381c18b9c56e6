"""The door to Ray Data: a pipeline whose rows are parts, in a fixed pool of actors, watched so that it never waits in silence.

A row is a whole part, so a restart loses nothing that is finished, and each actor fetches, decodes and computes with the one
loop that `raytl predict` has. The pipeline runs in an actor of its own that reserves no CPU: what Ray prints stays in Ray's logs,
and the driver only asks it, twice a second, how far everything is.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import pickle
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytl.batch_inference.plan import Part
from raytl.batch_inference.record import RECEIPT_FORMAT, Receipt
from raytl.batch_inference.sizing import Sizing
from raytl.batch_inference.stall import REPORT_EVERY_S, Limits, Situation, fits, is_stuck, waits_for
from raytl.cluster.machines import machines
from raytl.errors import RaytlError, WorkerFailed, WorkersLost, first_line
from raytl.events import Event, Message, OnEvent, Work
from raytl.throttle import Throttle

if TYPE_CHECKING:
    from raytl.batch_inference.part import Job, PartWriter

OnReceipt = Callable[[int, Receipt], None]
"""Called with the number of each part that is finished, and its receipt."""
OnProgress = Callable[[int], None]
"""Called with the photos that are done in parts in progress."""
_POLL_S = 0.5
_REPORT_S = 1.0
_ANSWER_S = 60.0
_MAX_MESSAGES = 100
_THREADS = 8
Row = tuple[int, bytes, RaytlError | None]
"""The number of a part, and its receipt or its error."""


@dataclass(frozen=True)
class Pool:
    """The actors of a batch, how long they may be idle, and how often they may die."""

    sizing: Sizing
    limits: Limits
    max_failures: int


@dataclass
class Seen:
    """The state of a pipeline: how many actors have loaded their model, the parts in progress with the photos done, messages,
    and the rows that are ready. `error` and `is_done` say how it ended."""

    started: int = 0
    current: dict[str, int] = field(default_factory=dict)
    messages: list[tuple[str, str]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    error: RaytlError | None = None
    is_done: bool = False


class _Pipeline:
    """The actor that runs the pipeline and hears of its actors. It needs no torch, so it starts them early.

    It keeps each row until the driver says that it has it: an answer that came too late was lost with its rows.
    """

    def __init__(self) -> None:
        self._seen, self._lock, self._received = Seen(), threading.Lock(), 0

    def run(self, job: bytes, parts: Sequence[Part], wanted: Sizing, folder: str) -> None:
        """Predict the parts."""
        import ray

        own = ray.get_runtime_context().current_actor
        try:
            for row in _rows(job, parts, wanted, folder, own):
                with self._lock:
                    self._seen.rows.append((int(row["number"]), row["receipt"], row["error"]))
        except Exception as error:  # for the driver
            with self._lock:
                self._seen.error = _translated(error)
        with self._lock:
            self._seen.is_done = True

    def start(self) -> None:
        """Count an actor that has loaded its model."""
        with self._lock:
            self._seen.started += 1

    def at(self, part: str, done: int) -> None:
        """Record the photos of a part that are done; all of them: forget it."""
        with self._lock:
            self._seen.current[part] = done
            if done < 0:
                self._seen.current.pop(part)

    def say(self, text: str, level: str) -> None:
        """Keep a message for the driver."""
        with self._lock:
            if len(self._seen.messages) < _MAX_MESSAGES and (text, level) not in self._seen.messages:
                self._seen.messages.append((text, level))

    def seen(self, received: int) -> Seen:
        """Return everything, with the rows after the first `received`, which the driver has."""
        with self._lock:
            if received > self._received:  # a call that was waited for too long may come after the next
                del self._seen.rows[: received - self._received]
                self._received = received
            now = Seen(**vars(self._seen))
            now.current, now.messages, now.rows = dict(now.current), list(now.messages), list(now.rows)
        return now


class _PartActor:
    """An actor of Ray Data: a part in, its receipt or an error out."""

    def __init__(self, job: bytes, threads: int, folder: str, pipeline: Any) -> None:
        import torch

        with contextlib.suppress(OSError):
            os.chdir(folder)  # photos may have relative paths
        torch.set_num_threads(threads)
        self._job: Job = pickle.loads(job)  # noqa: S301 - from the driver
        self._pipeline, self._part = pipeline, ""
        self._throttle = Throttle(_REPORT_S, time.monotonic)
        self._writer: PartWriter | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        number, self._part, photos, digest = marshal.loads(row["part"])  # noqa: S302 - from the driver
        try:
            receipt = self._loaded().write(Part(number, tuple(photos), digest))
        except RaytlError as error:  # Ray would wrap it in a text of its own
            return {"number": number, "receipt": b"", "error": error}
        self._pipeline.at.remote(self._part, -1)
        return {"number": number, "receipt": receipt.encoded(), "error": None}

    def _loaded(self) -> PartWriter:
        if self._writer is None:
            from raytl.batch_inference.part import PartWriter

            self._writer = PartWriter(self._job, self._job.predictor(self._on_event))
            self._pipeline.start.remote()
        return self._writer

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Work) and self._throttle.is_due():
            self._pipeline.at.remote(self._part, event.done)
        elif isinstance(event, Message):
            self._pipeline.say.remote(event.text, event.level)


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

    watch = _Watch(pool, on_event)
    remote: Any = ray.remote
    pipeline = remote(num_cpus=0, max_restarts=0, max_concurrency=_THREADS)(_Pipeline).remote()
    pipeline.run.remote(pickle.dumps(job), parts, pool.sizing, str(Path.cwd()))
    received = 0
    try:
        while True:
            seen = _seen(pipeline, received)
            received += len(seen.rows)
            for number, receipt, error in seen.rows:
                if error is not None:
                    raise error
                on_receipt(number, RECEIPT_FORMAT.read(receipt, f"part {number}"))
            watch.check(seen)
            on_progress(sum(seen.current.values()))
            if seen.error is not None:
                raise seen.error
            if seen.is_done:
                return
            time.sleep(_POLL_S)
    finally:
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(pipeline)


def _seen(pipeline: Any, received: int) -> Seen:
    import ray

    try:
        seen: Seen = ray.get(pipeline.seen.remote(received), timeout=_ANSWER_S)
    except ray.exceptions.GetTimeoutError:
        return Seen()
    except ray.exceptions.RayError as error:
        raise WorkersLost(f"the pipeline of the batch died ({first_line(error)}). The same command resumes") from error
    return seen


class _Watch:
    """The clock of a batch: raises once nothing moves for too long, and says what is waited for before that."""

    def __init__(self, pool: Pool, on_event: OnEvent) -> None:
        self._pool, self._on_event = pool, on_event
        self._since, self._last = time.monotonic(), (0, dict[str, int]())
        self._had_room = fits([each.free for each in machines() if not each.draining], pool.sizing)
        self._throttle = Throttle(REPORT_EVERY_S, time.monotonic)
        self._said = set[tuple[str, str]]()

    def check(self, seen: Seen) -> None:
        """Pass messages on, and check that something moved.

        Raises:
            WorkersLost: the batch is stuck, or too many actors died.
        """
        for text, level in seen.messages:
            if (text, level) not in self._said:
                self._said.add((text, level))
                self._on_event(Message(text, level))
        if seen.rows or (seen.started, seen.current) != self._last:
            self._since, self._last = time.monotonic(), (seen.started, seen.current)
        self._check_deaths(seen)
        self._check_time(seen)

    def _check_deaths(self, seen: Seen) -> None:
        died = seen.started - self._pool.sizing.actors
        if died > self._pool.max_failures:
            raise WorkersLost(
                f"actors died {died} times, more than compute.max_failures ({self._pool.max_failures}); in progress: "
                f"{', '.join(sorted(seen.current)[:8]) or 'no part'}. Perhaps the memory is too small: use fewer --workers. The same "
                "command resumes"
            )

    def _check_time(self, seen: Seen) -> None:
        idle_s, limits = time.monotonic() - self._since, self._pool.limits
        if idle_s < min(REPORT_EVERY_S, limits.start_s, limits.progress_s):
            return
        nodes = [each for each in machines() if not each.draining]
        sizes, free = [each.size for each in nodes], [each.free for each in nodes]
        situation = Situation(seen.started, self._had_room, idle_s, sizes, free, seen.current)
        text = waits_for(situation, self._pool.sizing)
        if is_stuck(situation, limits):
            raise WorkersLost(f"{text}. Finished parts are kept; the same command resumes")
        if self._throttle.is_due():
            self._on_event(Message(f"waiting: {text}", "warning"))


def _rows(job: bytes, parts: Sequence[Part], wanted: Sizing, folder: str, pipeline: Any) -> Any:
    """Yield a row for each part that an actor has predicted, in any order."""
    from ray.data import ActorPoolStrategy, DataContext, from_items

    DataContext.get_current().enable_progress_bars = False
    rows = [{"part": marshal.dumps((each.number, each.name, list(each.photos), each.digest))} for each in parts]
    actor: Any = _PartActor
    return (
        from_items(rows, override_num_blocks=len(rows))
        .map(
            actor,
            fn_constructor_args=(job, wanted.threads, folder, pipeline),
            compute=ActorPoolStrategy(size=wanted.actors, max_tasks_in_flight_per_actor=wanted.in_flight),
            num_cpus=wanted.cpus,
            num_gpus=wanted.gpus or None,
        )
        .iter_rows()
    )


def _translated(error: BaseException) -> RaytlError:
    """Return the error of a pipeline for users."""
    cause: Any = error
    while (below := getattr(cause, "cause", None) or cause.__cause__) is not None:
        cause = below
    if isinstance(cause, RaytlError):
        return cause
    return WorkerFailed(f"an actor failed with {type(cause).__name__}: {first_line(cause)}. Finished parts are kept")
