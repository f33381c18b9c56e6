"""A trial in its process: what it holds is given back when it is stopped."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import pytest

from raytl.config.schema import Experiment
from raytl.search.trial import SweepJob, Task
from raytl.search.worker import TrialRun
from raytl.training.driver import plan


@pytest.mark.slow
def test_a_stopped_trial_gives_back_its_loader_processes(
    make_sweep: Callable[..., Experiment], tmp_path_factory: pytest.TempPathFactory
) -> None:
    experiment = make_sweep({"data.loader_workers": 2})
    splits = plan(experiment).dataset.splits
    root = tmp_path_factory.mktemp("trials")
    job = SweepJob(experiment, str(root), splits.train, splits.val, splits.classes)
    before = set(psutil.Process().children(recursive=True))
    run = TrialRun(job, Task(0, {"transfer.unfreeze": 2}))
    assert not run.step()["done"]
    assert len(set(psutil.Process().children(recursive=True)) - before) >= 2
    run.close()
    left = set(psutil.Process().children(recursive=True)) - before
    assert not [
        process for process in left if process.is_running() and "resource_tracker" not in str(process.cmdline())
    ]


def test_a_trial_that_goes_on_tells_the_epochs_it_trained_before(
    make_sweep: Callable[..., Experiment], tmp_path_factory: pytest.TempPathFactory
) -> None:
    experiment = make_sweep()
    splits = plan(experiment).dataset.splits
    root = tmp_path_factory.mktemp("trials")
    job = SweepJob(experiment, str(root), splits.train, splits.val, splits.classes)
    task = Task(0, {"transfer.unfreeze": 1})
    killed = TrialRun(job, task)
    first, second = killed.step(), killed.step()
    killed.close()  # before the second epoch's checkpoint
    again = TrialRun(job, task)
    third = again.step()
    again.close()
    assert (first["earlier"], second["earlier"]) == ([], [])
    ((epoch, scores),) = third["earlier"]
    assert (epoch, third["epoch"]) == (1, 2)
    assert scores["val/accuracy"] == first["metrics"]["val/accuracy"]
