"""One trial in its process: made ready, trained an epoch at a time, left at any epoch's end. It knows torch and not Ray."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from raytl.config.dump import to_yaml
from raytl.config.override import override
from raytl.config.schema import Experiment, SearchConfig
from raytl.errors import NonFiniteLoss, RaytlError, first_line
from raytl.events import OnEvent, ignore
from raytl.models import probe
from raytl.models.backbone import Backbone
from raytl.run import journal
from raytl.run.atomic import write_text
from raytl.run.epochs import EPOCH_FORMAT
from raytl.run.folder import RunFolder
from raytl.run.run_store import RunStore
from raytl.search.feature_cache import sharing
from raytl.search.halving import rungs
from raytl.search.trial import SweepJob, Task, costs
from raytl.training.checkpoint import Progress, forget_after
from raytl.training.worker import Ready, prepare
from raytl.world import World

Result = dict[str, Any]
_RETRIES = 1


class TrialRun:
    """A trial that is under way. Each `step` trains an epoch and tells what came of it; the last one has `done`."""

    def __init__(self, sweep: SweepJob, task: Task, emit: OnEvent = ignore) -> None:
        self._sweep, self._task, self._emit = sweep, task, emit
        self._home = sweep.run_store_of(task)
        self.folder = self._home.folder
        self._ready: Ready | None = None
        self._epochs: Iterator[Progress] = iter(())
        self._smaller = 0

    def step(self) -> Result:
        """The result after one more epoch: `epoch` (one-based), `metrics`, `seconds`, `trainable`, `features`, `folder`.

        A trial that cannot go on tells `failed`, the reason; a loss that is not finite also `diverged`. One that is out
        of memory is tried once more with micro-batches of half the size: the batch, and so the result, stays as it was.
        """
        while True:
            try:
                return self._advance()
            except Exception as error:
                if _out_of_memory(error) and self._smaller < _RETRIES:
                    self._smaller += 1
                    self.close()
                    continue
                trainable = self._ready.trainable if self._ready else 0
                told = failure(journal.read(self.folder.metrics, EPOCH_FORMAT), self._home.uri, error, trainable)
                with contextlib.suppress(Exception):
                    self.close()
                return told

    def close(self) -> None:
        """Give back its memory, its loader processes and the node's disk; its checkpoints stay where they are kept."""
        if self._ready is not None:
            self._ready.close()
        self._ready, self._epochs = None, iter(())
        self._home.leave()
        gc.collect()
        gc.unfreeze()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _advance(self) -> Result:
        opened = self._ready is None
        ready = self._ready or self._open()
        progress = next(self._epochs, None)
        total = ready.context.experiment.train.epochs
        last = progress is None or progress.stopped or progress.epoch >= total
        if progress is None or last or may_stop_at(self._sweep.experiment.search, progress.epoch, total):
            ready.flush()
        records = journal.read(self.folder.metrics, EPOCH_FORMAT)
        where, shared = self._home.uri, ready.shared
        result = last_result(records, where, ready.trainable, last=last, features=shared, opened=opened)
        return result | {"smaller": self._smaller}

    def _open(self) -> Ready:
        gc.freeze()  # so that `close` looks at what the trial made, not at half a million objects of torch: 0.3 s a trial
        experiment = self._sweep.experiment_of(self._task)
        if self._smaller:
            experiment = override(experiment, {"train.accumulate": experiment.train.accumulate * 2**self._smaller})
        self._home.fetch()
        begin(self.folder, experiment)
        job = self._sweep.job_of(self._task, experiment)
        share = sharing(self._sweep, job, World.solo(), self._emit)
        start = install_probe(self._sweep)
        self._ready = prepare(World.solo(), job, self._emit, start=start, share=share, record=record_epoch)
        self._epochs = self._ready.epochs()
        return self._ready


def begin(folder: RunFolder, experiment: Experiment) -> None:
    """Write what the trial trains, so that it can be run again by hand, and forget the metrics of epochs that no
    checkpoint holds: they will be trained again."""
    folder.root.mkdir(parents=True, exist_ok=True)
    write_text(folder.experiment, to_yaml(experiment))
    forget_after(folder)


def may_stop_at(search: SearchConfig, epoch: int, epochs: int) -> bool:
    """True after an epoch at which the sweep may end a trial for good: what is told of it has to be stored by then."""
    return search.scheduler != "none" and epoch in rungs(search.grace_epochs, search.reduction, epochs)


def install_probe(sweep: SweepJob) -> Callable[[Backbone, int], None] | None:
    """What puts the solved head into a new network; None where the sweep has none."""
    if not sweep.probe:
        return None

    def start(backbone: Backbone, depth: int) -> None:
        run_store = RunStore(sweep.probe, s3=sweep.s3)
        run_store.fetch()
        probe.install(backbone, probe.load(run_store.folder.root).start(depth))

    return start


def record_epoch(folder: RunFolder, values: Mapping[str, float | str]) -> None:
    """An epoch's metrics go to the trial's journal; no TensorBoard, which a sweep would pay for in every trial."""
    journal.append(folder.metrics, values)


def last_result(
    records: list[dict[str, Any]],
    where: str,
    trainable: int,
    *,
    last: bool,
    features: str = "none",
    opened: bool = False,
) -> Result:
    """The result of the last of `records`, the metrics of a trial's epochs. A trial that was just `opened` tells the
    `earlier` epochs too: the process that trained them may have died before it could."""
    upto = range(0 if opened else len(records) - 1, len(records))
    scores = [(int(records[i]["epoch"]), _scores(records[: i + 1], trainable)) for i in upto]
    epoch, metrics = scores.pop()
    return {
        "epoch": epoch,
        "metrics": metrics,
        "earlier": scores,
        "seconds": _seconds(records),
        "trainable": trainable,
        "features": features,
        "folder": where,
        "done": last,
    }


def failure(records: list[dict[str, Any]], where: str, error: BaseException, trainable: int) -> Result:
    """The last result of a trial that ended with `error`."""
    kind = "" if isinstance(error, RaytlError) else f"{type(error).__name__}: "
    return {
        "epoch": int(records[-1]["epoch"]) if records else 0,
        "metrics": {},
        "seconds": _seconds(records),
        "trainable": trainable,
        "features": "none",
        "folder": where,
        "done": True,
        "failed": ("out of memory: " if _out_of_memory(error) else kind) + first_line(error),
        "diverged": isinstance(error, NonFiniteLoss),
    }


def _scores(records: list[dict[str, Any]], trainable: int) -> dict[str, float]:
    """What may be an objective, after the last of `records`."""
    scores = {key: v for key, v in records[-1].items() if key.startswith("val/") and key != "val/seconds"}
    return scores | costs(trainable, _seconds(records))


def _seconds(records: list[dict[str, Any]]) -> float:
    return float(sum(record.get(key) or 0.0 for record in records for key in ("train/seconds", "val/seconds")))


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
