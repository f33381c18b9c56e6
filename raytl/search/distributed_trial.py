"""A trial on several workers: Ray Train runs the worker group, and a queue passes on the end of each epoch."""

from __future__ import annotations

import queue
import threading
from dataclasses import replace
from typing import Any

from raytl.cluster.worker_group import run_group
from raytl.events import EpochEnded, Event, OnEvent, TrialReady
from raytl.run import journal
from raytl.run.epochs import EPOCH_FORMAT
from raytl.search.plan import TrialShape
from raytl.search.protocol import TrialResult
from raytl.search.worker import begin, epoch_result, failure, may_stop_at, prepare_trial
from raytl.training.job import TrainJob
from raytl.training.loop import Outcome
from raytl.world import World


class DistributedTrial:
    """A trial on 2 or more workers, with the interface of `TrialRun`.

    The process that holds it holds no CPU that its workers need; if that process ends, so do they.
    """

    def __init__(self, job: TrainJob, shape: TrialShape) -> None:
        self._job, self._shape = job, shape
        self._store = job.run_store()
        self._messages: queue.SimpleQueue[EpochEnded | BaseException | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._records: list[dict[str, Any]] = []
        self._ready = TrialReady(0, "none")

    def step(self) -> TrialResult:
        """Wait for one more epoch and return its result; see `TrialRun.step`.

        The last epoch is known as such only when the worker group ends: the last result repeats the one before.
        """
        is_first = self._thread is None
        if is_first:
            self._start()
        message = self._messages.get()
        if isinstance(message, BaseException):
            return failure(self._records, self._store.uri, message, self._ready.trainable)
        if message is not None:  # workers that replace lost ones train some epochs again
            before = [record for record in self._records if record["epoch"] < message.epoch]
            self._records = [*before, {"epoch": message.epoch, **message.metrics}]
        is_last = message is None
        result = epoch_result(
            self._records,
            self._store.uri,
            self._ready.trainable,
            self._ready.features,
            status="complete" if is_last else "running",
            is_first=is_first,
        )
        return replace(result, is_repeat=is_last and not is_first)

    def close(self) -> None:
        """Do nothing: the workers end with this process."""

    def _start(self) -> None:
        self._store.fetch()
        begin(self._store.folder, self._job.experiment)
        self._records = journal.read(self._store.folder.metrics, EPOCH_FORMAT)
        self._thread = threading.Thread(target=self._run_group, daemon=True)
        self._thread.start()

    def _run_group(self) -> None:
        compute = self._job.experiment.compute.model_copy(update={"cpus_per_worker": self._shape.cpus})
        scratch = self._store.folder.root / ".ray"
        try:
            run_group(_train, self._job, compute, scratch=scratch, on_event=self._receive)
            self._messages.put(None)
        except BaseException as error:  # `step` reports it
            self._messages.put(error)

    def _receive(self, event: Event) -> None:
        if isinstance(event, TrialReady):
            self._ready = event
        elif isinstance(event, EpochEnded):
            self._messages.put(event)


def _train(world: World, job: TrainJob, emit: OnEvent) -> Outcome:
    def flush_and_emit(event: Event) -> None:
        if isinstance(event, EpochEnded) and may_stop_at(job.experiment.search, event.epoch, event.epochs):
            run.flush()
        emit(event)

    run = prepare_trial(world, job, flush_and_emit)
    if world.is_main:
        emit(TrialReady(run.trainable, run.features))
    try:
        outcome = run.fit()
    finally:
        run.close()
    if world.local_rank == 0:
        job.run_store().leave()
    return outcome
