"""Running a sweep's trials: by Ray Tune on a cluster, or one after the other in this process."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from raytl.errors import first_line
from raytl.search.distributed_trial import DistributedTrial
from raytl.search.plan import TrialShape
from raytl.search.trial import SweepJob, Task
from raytl.search.worker import Result, TrialRun

_TUNE = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
}
"""Tune writes no tables, no logs and no state of its own: Optuna's storage and the trials' folders are the truth."""
TOLD = "told"
"""The key of a Tune result that holds the trial's own result, as JSON: Tune flattens and adds to what it is given."""
_NO_CPU = {"node:__internal_head__": 0.001}
"""What the process of a trial of several workers holds: a place on the head node, and nothing that its workers need."""


@dataclass(frozen=True)
class TrialExecutor:
    """Where trials run: `cluster` none = in this process; else `limit` at a time, each as large as `shape`.

    A trial whose process is lost is started again `max_failures` times.
    """

    cluster: str
    shape: TrialShape
    limit: int
    max_failures: int = 3


class Run(Protocol):
    """A trial that is under way."""

    def step(self) -> Result:
        """Train an epoch; the last result has `done`."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


TrialFactory = Callable[[Task], Run]
"""Makes a trial ready to step; called in the process that runs it."""


def trial_factory(sweep: SweepJob, shape: TrialShape) -> TrialFactory:
    """What opens the trials of `sweep`."""
    return _Opens(sweep, shape)


class _Opens:
    """Sent to a process, which then finds the sweep's data on its node once, whatever number of trials it opens."""

    def __init__(self, sweep: SweepJob, shape: TrialShape) -> None:
        self._sweep, self._shape = sweep, shape
        self._here: SweepJob | None = None

    def __call__(self, task: Task) -> Run:
        if self._shape.workers > 1:  # its workers find the data where they are
            return DistributedTrial(self._sweep, task, self._shape)
        self._here = self._here or self._sweep.on_this_node()
        return TrialRun(self._here, task)


def run_here(ask: Callable[[], Task | None], take: Callable[[Task, Result], bool], opens: TrialFactory) -> None:
    """One trial after the other. `take` hears each result and returns True to stop that trial."""
    while (task := ask()) is not None:
        run = opens(task)
        try:
            result = run.step()
            while not take(task, result) and not result["done"]:
                result = run.step()
        finally:
            run.close()


def run_tasks(
    tasks: Sequence[Task], opens: TrialFactory, executor: TrialExecutor
) -> Iterator[tuple[Task, list[Result]]]:
    """Every task trained to its end, `limit` at a time on a pool of processes that are used again; results as they end."""
    if executor.cluster == "none":
        for task in tasks:
            yield task, _whole(opens(task))
        return
    import ray

    alone = executor.shape.workers == 1
    cpus = executor.shape.cpus if alone else 0
    remote: Any = ray.remote(num_cpus=cpus, num_gpus=executor.shape.gpus if alone else 0)(_Runner)
    waiting = list(tasks)
    shared = ray.put(opens)
    free: list[Any] = [remote.remote(shared) for _ in range(min(executor.limit, len(waiting)))]
    busy: dict[Any, tuple[Any, Task]] = {}
    losses: Counter[str] = Counter()
    while waiting or busy:
        while waiting and free:
            actor, task = free.pop(), waiting.pop(0)
            busy[actor.run.remote(task)] = (actor, task)
        (ready,), _ = ray.wait(list(busy), num_returns=1)
        actor, task = busy.pop(ready)
        try:
            results = ray.get(ready)
            free.append(actor)
        except ray.exceptions.RayActorError as error:
            free.append(remote.remote(shared))
            losses[task.folder] += 1
            if losses[task.folder] <= executor.max_failures:
                waiting.insert(0, task)  # it goes on from its checkpoint
                continue
            results = [{"failed": f"its process was lost: {first_line(error)}", "done": True}]
        yield task, results


class _Runner:
    """A process that trains one task after the other."""

    def __init__(self, opens: TrialFactory) -> None:
        self._opens = opens

    def run(self, task: Task) -> list[Result]:
        """The results of all epochs of `task`."""
        return _whole(self._opens(task))


def _whole(run: Run) -> list[Result]:
    results = [run.step()]
    try:
        while not results[-1]["done"]:
            results.append(run.step())
    finally:
        run.close()
    return results


def run_on_tune(
    searcher: Any, scheduler: Any, over: Callable[[], bool], opens: TrialFactory, executor: TrialExecutor, scratch: Path
) -> None:
    """Let Tune run what `searcher` asks until it has no more or `over()`; a stopped trial's process takes the next one."""
    for key, value in {**_TUNE, "TUNE_MAX_PENDING_TRIALS_PG": str(executor.limit)}.items():
        os.environ[key] = value
    from ray import tune

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what goes wrong is told by the board
    alone = executor.shape.workers == 1
    bundle = {"CPU": executor.shape.cpus} if alone else dict(_NO_CPU)
    if alone and executor.shape.gpus:
        bundle["GPU"] = executor.shape.gpus
    trainable = tune.with_parameters(_trial_actor(), opens=opens)
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        tune.Tuner(
            tune.with_resources(trainable, tune.PlacementGroupFactory([bundle])),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=-1,
                reuse_actors=alone,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name=f"tune-{int(time.time())}",
                storage_path=str(scratch.resolve()),
                verbose=0,
                stop=_stopper(over),
            ),
        ).fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _name(trial: Any) -> str:
    return str(trial.trial_id)


def _stopper(over: Callable[[], bool]) -> Any:
    from ray import tune

    class Stop(tune.Stopper):
        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            return bool(result.get("done"))

        def stop_all(self) -> bool:
            return over()

    return Stop()


def _trial_actor() -> type:
    from ray import tune

    class TrialActor(tune.Trainable):
        """A process that runs one trial after the other; a trial costs its work, not Python's and torch's start."""

        def setup(self, config: dict[str, Any], opens: TrialFactory) -> None:  # type: ignore[override]
            self._opens = opens
            self._run = opens(task_of(config))

        def step(self) -> Result:
            result = self._run.step()
            return {TOLD: json.dumps(result), "done": result["done"]}

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._run.close()
            self._run = self._opens(task_of(new_config))
            return True

        def cleanup(self) -> None:
            self._run.close()

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            """Nothing: the trial's own folder holds its checkpoints."""

        def load_checkpoint(self, checkpoint: Any) -> None:
            """Nothing: a trial that is opened goes on from its own folder."""

    return TrialActor


def task_of(config: dict[str, Any]) -> Task:
    """The task in the configuration that the searcher gave."""
    return Task(config["number"], config["overrides"])
