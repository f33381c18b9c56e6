"""A training run that records timestamps: on Ray like `raytl train`, or the same loop under torchrun.

    python -m experiments.bench.scale_run ray FILE
    torchrun --nproc-per-node 2 -m experiments.bench.scale_run torchrun FILE

Each mark is a line of `<run>/marks.jsonl`, appended by the process that reached it, with the clock of this machine.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

MARKS = "marks.jsonl"
_EVERY_STEP = "RAYTL_BENCH_EVERY_STEP"


def mark(root: str | Path, kind: str, at: float | None = None, **more: Any) -> None:
    """Append a mark of that kind."""
    line = json.dumps({"t": time.time() if at is None else at, "kind": kind, "pid": os.getpid(), **more}) + "\n"
    with Path(root, MARKS).open("a", encoding="utf-8") as file:
        file.write(line)


def marks(root: str | Path) -> list[dict[str, Any]]:
    """Return the marks so far, by time."""
    path = Path(root, MARKS)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return sorted((json.loads(line) for line in lines), key=lambda each: float(each["t"]))


def train_worker(world: Any, job: Any, emit: Any) -> Any:
    """Do the same as `raytl.training.worker.train_worker`, with marks."""
    from raytl.data.loader import TrainLoader
    from raytl.events import EpochEnded, Event, Step
    from raytl.training import steps, worker

    mark(job.location, "entered", rank=world.rank, born=psutil.Process().create_time())
    if Path(job.location, _EVERY_STEP).exists():
        steps.EVENT_EVERY_S = 0.0
    real = TrainLoader.epoch

    def epoch(self: TrainLoader, number: int, start_step: int = 0) -> Iterator[Any]:
        batches = real(self, number, start_step)
        first = next(batches)
        mark(job.location, "first batch", rank=world.rank)
        yield first
        yield from batches

    def mark_event(event: Event) -> None:
        if isinstance(event, Step):
            mark(job.location, "step", epoch=event.epoch, step=event.step)
        elif isinstance(event, EpochEnded):
            mark(job.location, "epoch", epoch=event.epoch, images_per_s=event.metrics["train/images_per_s"])
        emit(event)

    TrainLoader.epoch = epoch  # type: ignore[method-assign]
    run = worker.prepare(worker.load_run(world, job, mark_event))
    mark(job.location, "prepared", rank=world.rank)
    try:
        return run.fit()
    finally:
        run.close()


def on_ray(file: str) -> None:
    """Run `raytl train FILE`."""
    born = psutil.Process().create_time()
    from raytl.config.load import load_experiment

    experiment = load_experiment(file)
    with _early_workers(experiment):
        _train_on_ray(experiment, born)


def _early_workers(experiment: Any) -> Any:
    try:
        from raytl.training.early import early_workers
    except ImportError:  # an older checkout
        return contextlib.nullcontext()
    return early_workers(experiment)


def _train_on_ray(experiment: Any, born: float) -> None:
    from raytl.cluster import worker_group
    from raytl.run.run_store import RunStore
    from raytl.training import driver

    root = RunStore.of(experiment).folder.root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    mark(root, "driver", at=born)
    mark(root, "imported")
    plan, session = driver.plan, worker_group.session

    def planned(*given: Any) -> Any:
        result = plan(*given)
        mark(root, "planned")
        return result

    @contextlib.contextmanager
    def connected(*given: Any) -> Iterator[None]:
        with session(*given):
            mark(root, "connected")
            from experiments.bench.scale_backend import TimedGroup
            from raytl.cluster import network

            network.GroupConfig = partial(TimedGroup, root=str(root))  # type: ignore[misc, assignment]
            yield

    driver.plan, worker_group.session = planned, connected
    driver.train_worker = train_worker
    driver.train(experiment)
    mark(root, "done")


def on_torchrun(file: str) -> None:
    """Run raytl's loop with its data and checkpoints in processes started by torchrun."""
    import torch.distributed as dist

    from raytl.config.load import load_experiment
    from raytl.events import ignore
    from raytl.run.folder import RunFolder
    from raytl.training.driver import plan
    from raytl.training.job import TrainJob
    from raytl.world import World

    experiment = load_experiment(file)
    world = World(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    root = RunFolder.of(experiment).root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    splits = plan(experiment).dataset.splits
    began = time.monotonic()
    dist.init_process_group("gloo")
    mark(root, "process group", rank=world.rank, seconds=time.monotonic() - began)
    train_worker(world, TrainJob(experiment, str(root), splits.train, splits.val, splits.classes), ignore)
    dist.destroy_process_group()


@dataclass(frozen=True)
class Epochs:
    """The epochs of a run after the first, from its marks: seconds per epoch, and images/s of training."""

    seconds: list[float]
    images_per_s: list[float]

    @classmethod
    def of(cls, root: Path) -> Epochs:
        """Return the epochs of the run in `root`."""
        ends = [each for each in marks(root) if each["kind"] == "epoch"]
        times = [float(each["t"]) for each in ends]
        rates = [float(each["images_per_s"]) for each in ends[1:]]
        return cls([b - a for a, b in itertools.pairwise(times)], rates)


if __name__ == "__main__":
    # import under its module name, so that other processes can unpickle its functions
    from experiments.bench import scale_run

    {"ray": scale_run.on_ray, "torchrun": scale_run.on_torchrun}[sys.argv[1]](sys.argv[2])
