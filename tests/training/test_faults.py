"""Workers and drivers are killed in mid-epoch; the run ends with the bits of an undisturbed one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from raytl.config.dump import to_yaml
from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.events import Event, Recorder, Restarted, Resumed, Step
from raytl.run import journal
from raytl.run.folder import RunFolder
from raytl.training.driver import train

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.thorough, pytest.mark.timeout(400)]

MakeExperiment = Callable[..., Experiment]
TWO = {
    "compute.cluster": "local",
    "compute.workers": 2,
    "train.epochs": 3,
    "train.checkpoint_every_s": 0.2,
    "train.batch_size": 8,
}


def outcome(experiment: Experiment) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    """The run's metrics without clocks, and its best weights."""
    folder = RunFolder.of(experiment)
    keys = ("epoch", "stage", "best", "train/loss", "val/accuracy", "val/balanced_accuracy", "val/log_loss")
    rows = [{key: record[key] for key in keys} for record in journal.read(folder.metrics)]
    return rows, load_file(folder.best / "model.safetensors")


def assert_same(one: Experiment, other: Experiment) -> None:
    (rows, weights), (other_rows, other_weights) = outcome(one), outcome(other)
    assert rows == other_rows
    assert all(torch.equal(weights[name], other_weights[name]) for name in weights)


def workers_of(driver: psutil.Process) -> list[psutil.Process]:
    """The train workers under `driver`, without their loader processes."""
    processes = [p for p in driver.children(recursive=True) if "RayTrainWorker" in " ".join(p.cmdline()[:1])]
    pids = {p.pid for p in processes}
    return [p for p in processes if p.ppid() not in pids]


class KillOneWorker:
    """A watcher that kills a train worker of this process's Ray in mid-epoch, once."""

    def __init__(self, epoch: int, step: int) -> None:
        self.at, self.killed, self.events = (epoch, step), 0, list[Event]()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Step) and (event.epoch, event.step) >= self.at and not self.killed:
            self.killed = workers_of(psutil.Process())[-1].pid
            os.kill(self.killed, signal.SIGKILL)


@pytest.fixture
def undisturbed(make_experiment: MakeExperiment) -> Experiment:
    """An experiment on two workers that was trained without a fault; its changes are `TWO`."""
    experiment = make_experiment({"name": "whole", **TWO}, per_class=60)
    train(experiment)
    return experiment


@pytest.mark.lengthy
def test_a_killed_worker_and_a_killed_driver_change_nothing_in_the_end(undisturbed: Experiment, tmp_path: Path) -> None:
    worker_killed = override(undisturbed, {"name": "worker-killed"})
    watcher = KillOneWorker(2, 6)
    result = train(worker_killed, on_event=watcher)
    assert watcher.killed
    assert [event.attempt for event in watcher.events if isinstance(event, Restarted)] == [1]
    resumed = [event for event in watcher.events if isinstance(event, Resumed)]
    assert len(resumed) == 1
    assert resumed[0].epoch >= 2
    assert result.status == "trained"
    assert_same(undisturbed, worker_killed)

    driver_killed = override(undisturbed, {"name": "driver-killed"})
    kill_driver(driver_killed, tmp_path, "epoch 2/3")
    again = Recorder()
    assert train(driver_killed, on_event=again).status == "resumed"
    assert [event.epoch >= 2 for event in again.events if isinstance(event, Resumed)] == [True]
    assert_same(undisturbed, driver_killed)


def kill_driver(experiment: Experiment, folder: Path, when: str) -> None:
    """Run `raytl train` as a user would, and kill -9 it when it says `when`; wait until its workers are gone."""
    path = folder / "experiment.yaml"
    path.write_text(to_yaml(experiment))
    command = [sys.executable, "-m", "raytl", "train", str(path)]
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    watchdog = threading.Timer(240, driver.kill)
    watchdog.start()
    try:
        assert driver.stderr is not None
        assert any(when in line for line in driver.stderr), "the driver ended before it came to be killed"
        workers = workers_of(psutil.Process(driver.pid))
        assert workers
        driver.kill()
        driver.wait()
        _, alive = psutil.wait_procs(workers, timeout=60)
        assert not alive, "workers outlive their driver"
    finally:
        watchdog.cancel()
        driver.kill()
        driver.wait()
        driver.stderr.close()
