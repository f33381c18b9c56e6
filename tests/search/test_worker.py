"""A trial in its process: it frees its resources when it is stopped."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import pytest

from raytl.config.schema import Experiment
from raytl.search.protocol import Suggestion
from raytl.search.trial import trial_job
from raytl.search.worker import TrialRun
from raytl.training.driver import plan
from raytl.training.job import TrainJob


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
