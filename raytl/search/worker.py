"""One trial in its process: opened, trained an epoch at a time, closed after any epoch. It knows torch and not Ray."""

from __future__ import annotations

import contextlib
import gc
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

import torch

from raytl.config.dump import to_yaml
from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.config.search import SearchConfig
from raytl.errors import RaytlError, first_line
from raytl.events import OnEvent, ignore
from raytl.out_of_memory import is_out_of_memory
from raytl.run import journal
from raytl.run.atomic import write_text
from raytl.run.epochs import EPOCH_FORMAT
from raytl.run.folder import RunFolder
from raytl.search.feature_cache import cached_features
from raytl.search.halving import rungs
from raytl.search.protocol import EpochScores, TrialResult
from raytl.search.trial import costs
from raytl.training.checkpoint import Progress, drop_later_metrics
from raytl.training.job import TrainJob
from raytl.training.worker import PreparedRun, load_run, prepare
from raytl.world import World

_MAX_OOM_RETRIES = 1


class TrialRun:
    """A trial on one worker. Each `step` trains an epoch and returns its result."""

    def __init__(self, job: TrainJob, emit: OnEvent = ignore) -> None:
        self._job, self._emit = job, emit
        self._store = job.run_store()
        self.folder = self._store.folder
        self._run: PreparedRun | None = None
        self._epochs: Iterator[Progress] = iter(())
        self._oom_retries = 0

    def step(self, release: Callable[[], None] = lambda: None) -> TrialResult:
        """Train one more epoch and return the result; after an error, a failed one.

        A trial that runs out of memory is restarted once with micro-batches of half the size. The batch, and so the
        result, stays the same. Before the restart, all of its memory is free, and `release` frees that of others.
        """
        result = self._attempt()
        if result is None:  # the error is gone, and with it the tensors in its frames
            self._oom_retries += 1
            release()
            self.close()
            result = self._attempt()
        assert result is not None, "a second lack of memory is a failure"
        return replace(result, oom_retries=self._oom_retries)

    def _attempt(self) -> TrialResult | None:
        """Return the result of one more epoch; None if memory was too small and a restart may help."""
        try:
            return self._advance()
        except Exception as error:
            if is_out_of_memory(error) and self._oom_retries < _MAX_OOM_RETRIES:
                return None
            trainable = self._run.trainable if self._run else 0
            result = failure(journal.read(self.folder.metrics, EPOCH_FORMAT), self._store.uri, error, trainable)
            with contextlib.suppress(Exception):
                self.close()
            return result

    def close(self) -> None:
        """Free its memory, its loader processes and its working copy; a further `step` resumes from its checkpoint."""
        if self._run is not None:
            self._run.close()
        self._run, self._epochs = None, iter(())
        self._store.leave()
        gc.collect()
        gc.unfreeze()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _advance(self) -> TrialResult:
        is_first = self._run is None
        run = self._run or self._open()
        progress = next(self._epochs, None)
        experiment = run.context.experiment
        total = experiment.train.epochs
        is_last = progress is None or progress.stopped or progress.epoch >= total
        if progress is None or is_last or may_stop_at(experiment.search, progress.epoch, total):
            run.flush()
        return epoch_result(
            journal.read(self.folder.metrics, EPOCH_FORMAT),
            self._store.uri,
            run.trainable,
            run.features,
            status="complete" if is_last else "running",
            is_first=is_first,
        )

    def _open(self) -> PreparedRun:
        gc.freeze()  # so that `close` collects only the trial's objects, not half a million of torch: saves 0.3 s a trial
        job = self._job
        if self._oom_retries:
            accumulate = job.experiment.train.accumulate * 2**self._oom_retries
            job = replace(job, experiment=override(job.experiment, {"train.accumulate": accumulate}))
        self._run = prepare_trial(World.solo(), job, self._emit)
        self._epochs = self._run.epochs()
        return self._run


def prepare_trial(world: World, job: TrainJob, emit: OnEvent) -> PreparedRun:
    """Return the trial ready to train on rank `world.rank`: with cached features if that pays, and without TensorBoard,
    which takes too long for every trial of a sweep."""
    if world.is_main:
        run_store = job.run_store()
        run_store.fetch()
        begin(run_store.folder, job.experiment)
    run = load_run(world, job, emit)
    return prepare(run, cached_features(run), tensorboard=False)


def begin(folder: RunFolder, experiment: Experiment) -> None:
    """Write the trial's experiment, so that it can be run again by hand, and delete the metrics of epochs that no
    checkpoint holds: they are trained again."""
    folder.root.mkdir(parents=True, exist_ok=True)
    write_text(folder.experiment, to_yaml(experiment))
    drop_later_metrics(folder)


def may_stop_at(search: SearchConfig, epoch: int, epochs: int) -> bool:
    """Return True if the sweep may stop a trial for good after `epoch`: its checkpoint has to be uploaded by then."""
    return search.scheduler != "none" and epoch in rungs(search.grace_epochs, search.reduction, epochs)


def epoch_result(
    records: list[dict[str, Any]],
    location: str,
    trainable: int,
    features: str,
    *,
    status: Literal["running", "complete"],
    is_first: bool,
) -> TrialResult:
    """Return the result after the last of `records`, the metrics of a trial's epochs.

    The first result of a process reports the earlier epochs too: the process that trained them may have died before it
    could.
    """
    reported = range(0 if is_first else len(records) - 1, len(records))
    *earlier, last = (_scores(records[: i + 1], trainable) for i in reported)
    return TrialResult(
        status=status,
        last=last,
        earlier=tuple(earlier),
        seconds=_seconds(records),
        trainable=trainable,
        features=features,
        folder=location,
    )


def failure(records: list[dict[str, Any]], location: str, error: BaseException, trainable: int) -> TrialResult:
    """Return the result of a trial that ended with `error`."""
    kind = "" if isinstance(error, RaytlError) else f"{type(error).__name__}: "
    return TrialResult(
        status="failed",
        last=EpochScores(int(records[-1]["epoch"]) if records else 0),
        seconds=_seconds(records),
        trainable=trainable,
        folder=location,
        reason=("out of memory: " if is_out_of_memory(error) else kind) + first_line(error),
    )


def _scores(records: list[dict[str, Any]], trainable: int) -> EpochScores:
    """Return the metrics that may be objectives, after the last of `records`; an undefined one, null in the journal, is NaN."""
    last = records[-1]
    scores = {
        key: math.nan if value is None else value
        for key, value in last.items()
        if key.startswith("val/") and key != "val/seconds"
    }
    return EpochScores(int(last["epoch"]), scores | costs(trainable, _seconds(records)))


def _seconds(records: list[dict[str, Any]]) -> float:
    return float(sum(record.get(key) or 0.0 for record in records for key in ("train/seconds", "val/seconds")))
