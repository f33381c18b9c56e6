"""A trial in its process: it frees its resources when it is stopped."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from raytl.config.schema import Experiment
from raytl.search.fold_trial import trial_run
from raytl.search.folds import fold_jobs
from raytl.search.protocol import Suggestion
from raytl.search.trial import trial_job
from raytl.search.worker import TrialRun
from raytl.training import loop
from raytl.training.driver import plan
from raytl.training.job import TrainJob
from raytl.training.worker import load_run


@pytest.mark.slow
def test_a_stopped_trial_ends_its_loader_processes(
    make_sweep: Callable[..., Experiment], tmp_path_factory: pytest.TempPathFactory
) -> None:
    experiment = make_sweep({"data.loader_workers": 2})
    splits = plan(experiment).dataset.splits
    root = tmp_path_factory.mktemp("trials")
    sweep = TrainJob(experiment, str(root), splits.train, splits.val, splits.classes)
    before = set(psutil.Process().children(recursive=True))
    run = TrialRun(trial_job(sweep, Suggestion(0, {"transfer.unfreeze": 2})))
    assert run.step().status == "running"
    assert len(set(psutil.Process().children(recursive=True)) - before) >= 2
    run.close()
    left = set(psutil.Process().children(recursive=True)) - before
    assert not [
        process for process in left if process.is_running() and "resource_tracker" not in str(process.cmdline())
    ]


def test_a_resumed_trial_reports_the_epochs_that_it_trained_before(
    make_sweep: Callable[..., Experiment], tmp_path_factory: pytest.TempPathFactory
) -> None:
    experiment = make_sweep()
    splits = plan(experiment).dataset.splits
    root = tmp_path_factory.mktemp("trials")
    sweep = TrainJob(experiment, str(root), splits.train, splits.val, splits.classes)
    job = trial_job(sweep, Suggestion(0, {"transfer.unfreeze": 1}))
    killed = TrialRun(job)
    first, second = killed.step(), killed.step()
    killed.close()  # before the second epoch's checkpoint
    again = TrialRun(job)
    third = again.step()
    again.close()
    assert (first.earlier, second.earlier) == ((), ())
    (earlier,) = third.earlier
    assert (earlier.epoch, third.last.epoch) == (1, 2)
    assert earlier.metrics["val/accuracy"] == first.last.metrics["val/accuracy"]


@pytest.mark.thorough
def test_too_little_memory_for_a_fold_frees_the_networks_of_all_before_the_retry(
    make_sweep: Callable[..., Experiment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = make_sweep({"search.folds": 2})
    splits = plan(experiment).dataset.splits
    sweep = TrainJob(experiment, str(tmp_path), splits.train, splits.val, splits.classes)
    held: list[weakref.ref[Any]] = []
    in_memory: list[int] = []
    epochs: list[Any] = []

    def loaded(*args: Any) -> Any:
        in_memory.append(sum(each() is not None for each in held))
        run = load_run(*args)
        held.append(weakref.ref(run.backbone.module))
        return run

    def scarce(*args: Any) -> Any:
        epochs.append(args[2])
        if len(epochs) == 4:  # of the second fold in its second epoch
            in_this_frame = torch.nn.Identity()
            held.append(weakref.ref(in_this_frame))
            raise MemoryError
        return train_epoch(*args)

    train_epoch = loop.train_epoch
    monkeypatch.setattr("raytl.search.worker.load_run", loaded)
    monkeypatch.setattr("raytl.training.loop.train_epoch", scarce)
    trial = trial_run(replace(sweep, folds=fold_jobs(sweep, 2)), Suggestion(0, {"transfer.unfreeze": 0}))
    assert trial.step().last.epoch == 1
    result = trial.step()
    assert (result.status, result.last.epoch, result.oom_retries) == ("complete", 2, 1)
    assert in_memory == [0, 1, 0], "the retry begins in free memory"
    assert [progress.epoch for progress in epochs] == [0, 0, 1, 1, 1], "no epoch is trained twice"
