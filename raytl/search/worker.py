"""One trial in its process: made ready, trained an epoch at a time, left at any epoch's end. It knows torch and not Ray."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from raytl.config.dump import to_yaml
from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.errors import NonFiniteLoss, RaytlError
from raytl.events import OnEvent, ignore
from raytl.models import probe
from raytl.models.backbone import Backbone
from raytl.run import journal
from raytl.run.atomic import write_text
from raytl.run.folder import RunFolder
from raytl.search.share import sharing
from raytl.search.trial import SweepJob, Task, costs
from raytl.training.checkpoint import Progress, forget_after
from raytl.training.worker import Job, Ready, prepare
from raytl.world import World

Result = dict[str, Any]
_RETRIES = 1


class TrialRun:
    """A trial that is under way. Each `step` trains an epoch and tells what came of it; the last one has `done`."""

    def __init__(self, sweep: SweepJob, task: Task, emit: OnEvent = ignore) -> None:
        self._sweep, self._task, self._emit = sweep, task, emit
        self.folder = RunFolder(Path(sweep.root) / task.folder)
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
                with contextlib.suppress(Exception):
                    self.close()
                return failure(self.folder, error, trainable)

    def close(self) -> None:
        """Give back its memory and its loader processes; its checkpoints stay."""
        if self._ready is not None:
            self._ready.close()
        self._ready, self._epochs = None, iter(())
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _advance(self) -> Result:
        opened = self._ready is None
        ready = self._ready or self._open()
        progress = next(self._epochs, None)
        total = ready.setting.experiment.train.epochs
        last = progress is None or progress.stopped or progress.epoch >= total
        result = last_result(self.folder, ready.trainable, last=last, features=ready.shared, opened=opened)
        return result | {"smaller": self._smaller}

    def _open(self) -> Ready:
        experiment = self._sweep.experiment_of(self._task)
        if self._smaller:
            experiment = override(experiment, {"train.accumulate": experiment.train.accumulate * 2**self._smaller})
        begin(self.folder, experiment)
        job = Job(experiment, str(self.folder.root), self._sweep.train, self._sweep.val, self._sweep.classes)
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


def install_probe(sweep: SweepJob) -> Callable[[Backbone, int], None] | None:
    """What puts the solved head into a new network; None where the sweep has none."""
    if not sweep.probe:
        return None
    return lambda backbone, depth: probe.install(backbone, probe.load(Path(sweep.probe)).start(depth))


def record_epoch(folder: RunFolder, values: Mapping[str, float | str]) -> None:
    """An epoch's metrics go to the trial's journal; no TensorBoard, which a sweep would pay for in every trial."""
    journal.append(folder.metrics, values)


def last_result(
    folder: RunFolder,
    trainable: int,
    *,
    last: bool,
    features: str = "none",
    opened: bool = False,
    epoch: int | None = None,
) -> Result:
    """The result of `epoch` (none: the last one) in the trial's journal. A trial that was just `opened` tells the
    `earlier` epochs too: the process that trained them may have died before it could."""
    records = [record for record in journal.read(folder.metrics) if epoch is None or record["epoch"] <= epoch]
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
        "folder": str(folder.root),
        "done": last,
    }


def failure(folder: RunFolder, error: BaseException, trainable: int) -> Result:
    """The last result of a trial that ended with `error`."""
    records = journal.read(folder.metrics)
    kind = "" if isinstance(error, RaytlError) else f"{type(error).__name__}: "
    return {
        "epoch": int(records[-1]["epoch"]) if records else 0,
        "metrics": {},
        "seconds": _seconds(records),
        "trainable": trainable,
        "features": "none",
        "folder": str(folder.root),
        "done": True,
        "failed": ("out of memory: " if _out_of_memory(error) else kind) + _first_line(error),
        "diverged": isinstance(error, NonFiniteLoss),
    }


def _scores(records: list[dict[str, Any]], trainable: int) -> dict[str, float]:
    """What may be an objective, after the last of `records`."""
    scores = {key: v for key, v in records[-1].items() if key.startswith("val/") and key != "val/seconds"}
    return scores | costs(trainable, _seconds(records))


def _seconds(records: list[dict[str, Any]]) -> float:
    return float(sum(record["train/seconds"] + record["val/seconds"] for record in records))


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
