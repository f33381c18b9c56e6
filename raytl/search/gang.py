"""A trial on several workers, an epoch at a time: Ray Train runs the group, and a queue hands over each epoch's end."""

from __future__ import annotations

import json
import queue
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raytl.cluster.gang import run_group
from raytl.events import EpochEnded, Event, OnEvent
from raytl.run.atomic import write_json
from raytl.run.folder import RunFolder
from raytl.search.plan import TrialShape
from raytl.search.share import sharing
from raytl.search.trial import SweepJob, Task
from raytl.search.worker import Result, begin, failure, install_probe, last_result, record_epoch
from raytl.training.worker import Job, prepare
from raytl.world import World

_MADE = "made.json"


@dataclass(frozen=True)
class _Call:
    sweep: SweepJob
    task: Task


class GangRun:
    """As `TrialRun`, for `compute.workers` of 2 or more. The process that holds it holds no CPU that its workers need;
    when that process ends, so do they."""

    def __init__(self, sweep: SweepJob, task: Task, shape: TrialShape) -> None:
        self._sweep, self._task, self._shape = sweep, task, shape
        self.folder = RunFolder(Path(sweep.root) / task.folder)
        self._told: queue.SimpleQueue[EpochEnded | BaseException | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def step(self) -> Result:
        """The result after one more epoch; see `TrialRun.step`."""
        opened = self._thread is None
        if opened:
            begin(self.folder, self._sweep.experiment_of(self._task))
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        told = self._told.get()
        if isinstance(told, BaseException):
            return failure(self.folder, told, self._made()["trainable"])
        made, epoch = self._made(), told.epoch if told else None
        return last_result(
            self.folder, made["trainable"], last=told is None, features=made["shared"], opened=opened, epoch=epoch
        )

    def close(self) -> None:
        """Nothing to give back here: the workers end with this process."""

    def _run(self) -> None:
        experiment = self._sweep.experiment_of(self._task)
        compute = experiment.compute.model_copy(update={"cpus_per_worker": self._shape.cpus})
        scratch = self.folder.root / ".ray"
        try:
            run_group(_work, _Call(self._sweep, self._task), compute, scratch=scratch, on_event=self._hear)
            self._told.put(None)
        except BaseException as error:  # told to whoever waits for the next epoch
            self._told.put(error)

    def _hear(self, event: Event) -> None:
        if isinstance(event, EpochEnded):
            self._told.put(event)

    def _made(self) -> dict[str, Any]:
        """What its workers said of the trial before its first epoch."""
        path = self.folder.root / _MADE
        nothing = {"trainable": 0, "shared": "none"}
        return json.loads(path.read_bytes()) if path.exists() else nothing


def _work(world: World, call: _Call, emit: OnEvent) -> Any:
    sweep, folder = call.sweep, Path(call.sweep.root) / call.task.folder
    job = Job(sweep.experiment_of(call.task), str(folder), sweep.train, sweep.val, sweep.classes)
    share = sharing(sweep, job, world, emit)
    made = prepare(world, job, emit, start=install_probe(sweep), share=share, record=record_epoch)
    if world.leads:
        write_json(folder / _MADE, {"trainable": made.trainable, "shared": made.shared})
    try:
        return made.fit()
    finally:
        made.close()
