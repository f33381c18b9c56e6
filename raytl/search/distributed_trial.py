"""A trial on several workers, an epoch at a time: Ray Train runs the group, and a queue hands over each epoch's end."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import Any

from raytl.cluster.worker_group import run_group
from raytl.events import EpochEnded, Event, OnEvent, TrialReady, ignore
from raytl.run import journal
from raytl.run.epochs import EPOCH_FORMAT
from raytl.search.feature_cache import sharing
from raytl.search.plan import TrialShape
from raytl.search.trial import SweepJob, Task
from raytl.search.worker import Result, begin, failure, install_probe, last_result, may_stop_at, record_epoch
from raytl.training.worker import prepare
from raytl.world import World


@dataclass(frozen=True)
class _Call:
    sweep: SweepJob
    task: Task


class DistributedTrial:
    """As `TrialRun`, for `compute.workers` of 2 or more. The process that holds it holds no CPU that its workers need;
    when that process ends, so do they."""

    def __init__(self, sweep: SweepJob, task: Task, shape: TrialShape) -> None:
        self._sweep, self._task, self._shape = sweep, task, shape
        self._home = sweep.run_store_of(task)
        self._told: queue.SimpleQueue[EpochEnded | BaseException | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._records: list[dict[str, Any]] = []
        self._ready = TrialReady(0, "none")

    def step(self) -> Result:
        """The result after one more epoch; see `TrialRun.step`. That it was the last is known once the group has ended:
        the last result `repeats` the one before."""
        opened = self._thread is None
        if opened:
            self._home.fetch()
            begin(self._home.folder, self._sweep.experiment_of(self._task))
            self._records = journal.read(self._home.folder.metrics, EPOCH_FORMAT)
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        told = self._told.get()
        where, ready = self._home.uri, self._ready
        if isinstance(told, BaseException):
            return failure(self._records, where, told, ready.trainable)
        if told is not None:  # workers that were lost train some epochs again
            before = [record for record in self._records if record["epoch"] < told.epoch]
            self._records = [*before, {"epoch": told.epoch, **told.metrics}]
        last = told is None
        result = last_result(self._records, where, ready.trainable, last=last, features=ready.shared, opened=opened)
        return result | {"repeats": last and not opened}

    def close(self) -> None:
        """Nothing to give back here: the workers end with this process."""

    def _run(self) -> None:
        experiment = self._sweep.experiment_of(self._task)
        compute = experiment.compute.model_copy(update={"cpus_per_worker": self._shape.cpus})
        scratch = self._home.folder.root / ".ray"
        try:
            run_group(_work, _Call(self._sweep, self._task), compute, scratch=scratch, on_event=self._hear)
            self._told.put(None)
        except BaseException as error:  # told to whoever waits for the next epoch
            self._told.put(error)

    def _hear(self, event: Event) -> None:
        if isinstance(event, TrialReady):
            self._ready = event
        elif isinstance(event, EpochEnded):
            self._told.put(event)


def _work(world: World, call: _Call, emit: OnEvent) -> Any:
    sweep = call.sweep.on_this_node()
    experiment, run_store = sweep.experiment_of(call.task), sweep.run_store_of(call.task)
    if world.is_main:
        run_store.fetch()
        begin(run_store.folder, experiment)
    job = sweep.job_of(call.task, experiment)
    share = sharing(sweep, job, world, emit if world.is_main else ignore)

    def tell(event: Event) -> None:
        if isinstance(event, EpochEnded) and may_stop_at(experiment.search, event.epoch, event.epochs):
            made.flush()
        emit(event)

    made = prepare(world, job, tell, start=install_probe(sweep), share=share, record=record_epoch)
    if world.is_main:
        emit(TrialReady(made.trainable, made.shared))
    try:
        done = made.fit()
    finally:
        made.close()
    if world.local_rank == 0:
        run_store.leave()
    return done
