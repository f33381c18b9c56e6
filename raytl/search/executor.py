"""The execution of a sweep's trials: by Ray Tune on a cluster, or one after the other in this process."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from raytl.cluster.session import STARTED_HERE
from raytl.errors import first_line
from raytl.search.distributed_trial import DistributedTrial
from raytl.search.fold_trial import trial_run
from raytl.search.plan import TrialShape
from raytl.search.protocol import Suggestion, TrialResult
from raytl.search.trial import trial_job
from raytl.search.worker import failure
from raytl.training.job import TrainJob

if TYPE_CHECKING:
    from raytl.search.sweep_state import SweepState  # imports Optuna, which trials do not need

_TUNE = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
}
"""Tune writes no tables, logs or state of its own: Optuna's storage and the trials' folders are the only state."""
SUGGESTION, RESULT = "suggestion", "result"
"""The one key in a Tune trial's configuration and in its results: Tune wants dicts, and adds to them."""
_NO_CPU = {"node:__internal_head__": 0.001}
"""Resources of the process of a distributed trial: it runs on the head node, and reserves none of the resources of its workers."""


@dataclass(frozen=True)
class TrialExecutor:
    """Run trials in this process (`cluster` none), or `limit` at a time on a cluster, each as large as `shape`.

    A trial whose process is lost is restarted `max_failures` times.
    """

    cluster: str
    shape: TrialShape
    limit: int
    max_failures: int = 3

    @property
    def is_here(self) -> bool:
        """True if trials run in this process, one after the other."""
        return self.cluster == "none"

    @property
    def is_distributed(self) -> bool:
        """True if a trial has several workers."""
        return self.shape.workers > 1

    def resources(self) -> dict[str, float]:
        """Return what the process of a trial reserves, by Ray's names."""
        if self.is_distributed:
            return dict(_NO_CPU)
        gpus = {"GPU": self.shape.gpus} if self.shape.gpus else {}
        return {"CPU": self.shape.cpus, **gpus}

    def beside_trials(self, sweep: TrainJob) -> TrainJob:
        """Return `sweep` for work of the driver while trials run: on the CPU if they occupy the GPUs.

        In this process no trial is open when the next one is asked for.
        """
        if self.is_here or not self.shape.gpus:
            return sweep
        experiment = sweep.experiment
        compute = experiment.compute.model_copy(update={"device": "cpu"})
        return replace(sweep, experiment=experiment.model_copy(update={"compute": compute}))


class Trial(Protocol):
    """A trial that is open."""

    def step(self) -> TrialResult:
        """Train an epoch and return its result."""
        ...

    def close(self) -> None:
        """Free its resources."""
        ...


TrialFactory = Callable[[Suggestion], Trial]
"""Opens a trial; called in the process that runs it."""


def trial_factory(sweep: TrainJob, shape: TrialShape) -> TrialFactory:
    """Return the factory of the trials of `sweep`."""
    return _SweepTrials(sweep, shape)


class _SweepTrials:
    """Sent to a process, where it finds the sweep's data on the node once for all trials."""

    def __init__(self, sweep: TrainJob, shape: TrialShape) -> None:
        self._sweep, self._shape = sweep, shape
        self._is_local = False

    def __call__(self, suggestion: Suggestion) -> Trial:
        if self._shape.workers > 1:  # its workers find the data on their nodes
            return DistributedTrial(trial_job(self._sweep, suggestion), self._shape)
        if not self._is_local:
            self._sweep, self._is_local = self._sweep.on_this_node(), True
        return trial_run(self._sweep, suggestion)


def run_here(sweep_state: SweepState, factory: TrialFactory) -> None:
    """Run the trials of `sweep_state` in this process, one after the other."""
    while (suggestion := sweep_state.ask()) is not None:
        trial = factory(suggestion)
        try:
            while not sweep_state.advance(suggestion.number, trial.step()):
                pass
        finally:
            trial.close()


def run_replicates(
    suggestions: Sequence[Suggestion], factory: TrialFactory, executor: TrialExecutor
) -> Iterator[tuple[Suggestion, list[TrialResult]]]:
    """Train each suggestion to its end, and yield its results when it ends.

    On a cluster, `limit` run at a time in a pool of processes that are reused.
    """
    if executor.is_here:
        for suggestion in suggestions:
            yield suggestion, _all_results(factory(suggestion))
        return
    import ray

    lost = (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError)  # the second: Ray killed it to free memory
    resources = executor.resources()
    options: dict[str, Any] = {"num_cpus": resources.get("CPU", 0), "num_gpus": resources.get("GPU", 0)}
    remote: Any = ray.remote(**options)(_Runner)
    waiting, stored = list(suggestions), ray.put(factory)
    idle: list[Any] = [remote.remote(stored) for _ in range(min(executor.limit, len(waiting)))]
    busy: dict[Any, tuple[Any, Suggestion]] = {}
    losses: Counter[str] = Counter()
    while waiting or busy:
        while waiting and idle:
            actor, suggestion = idle.pop(), waiting.pop(0)
            busy[actor.run.remote(suggestion)] = (actor, suggestion)
        (ready,), _ = ray.wait(list(busy), num_returns=1)
        actor, suggestion = busy.pop(ready)
        try:
            results = ray.get(ready)
            idle.append(actor)
        except lost as error:
            idle.append(remote.remote(stored))
            losses[suggestion.folder] += 1
            if losses[suggestion.folder] <= executor.max_failures:
                waiting.insert(0, suggestion)  # it resumes from its checkpoint
                continue
            results = [TrialResult("failed", reason=f"its process was lost: {first_line(error)}")]
        yield suggestion, results


class _Runner:
    """A process that trains one trial after the other."""

    def __init__(self, factory: TrialFactory) -> None:
        self._factory = factory

    def run(self, suggestion: Suggestion) -> list[TrialResult]:
        """Return the results of all epochs of a trial."""
        return _all_results(_opened(self._factory, suggestion))


class _FailedTrial:
    """A trial that could not be opened: its one result says why. Without it, Tune only reports that its process was lost."""

    def __init__(self, error: Exception) -> None:
        self._result = failure([], "", error, trainable=0)

    def step(self) -> TrialResult:
        """Return the failure."""
        return self._result

    def close(self) -> None:
        """Do nothing."""


def _opened(factory: TrialFactory, suggestion: Suggestion) -> Trial:
    """Return the trial; a failed one after an error."""
    try:
        return factory(suggestion)
    except Exception as error:
        return _FailedTrial(error)


def _all_results(trial: Trial) -> list[TrialResult]:
    results: list[TrialResult] = []
    try:
        while not results or not results[-1].is_last:
            results.append(trial.step())
    finally:
        trial.close()
    return results


def run_on_tune(
    searcher: Any,
    scheduler: Any,
    is_over: Callable[[], bool],
    factory: TrialFactory,
    executor: TrialExecutor,
    scratch: Path,
) -> None:
    """Let Tune run the trials of `searcher` until it has no more or `is_over()`; processes of ended trials are reused."""
    for key, value in {**_TUNE, "TUNE_MAX_PENDING_TRIALS_PG": str(executor.limit)}.items():
        os.environ[key] = value
    from ray import tune

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # `SweepState` reports errors
    trainable = tune.with_parameters(_trial_actor(), factory=factory)
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        tuner = tune.Tuner(
            tune.with_resources(trainable, tune.PlacementGroupFactory([executor.resources()])),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=-1,
                reuse_actors=not executor.is_distributed,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name=f"tune-{int(time.time())}",
                storage_path=str(scratch.resolve()),
                verbose=0,
                stop=_stopper(is_over),
            ),
        )
        with _actors(executor):
            tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _actors(executor: TrialExecutor) -> contextlib.AbstractContextManager[None]:
    """Return the way in which Tune starts the actors of trials."""
    if executor.is_distributed or executor.cluster not in STARTED_HERE:
        return contextlib.nullcontext()
    from raytl.cluster.tune_actors import plain_actors

    return plain_actors()


def _name(trial: Any) -> str:
    return str(trial.trial_id)


def _stopper(is_over: Callable[[], bool]) -> Any:
    from ray import tune

    class Stop(tune.Stopper):
        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            return bool(result.get("done"))

        def stop_all(self) -> bool:
            return is_over()

    return Stop()


def _trial_actor() -> type:
    from ray import tune

    class TrialActor(tune.Trainable):
        """A process that runs one trial after the other, so that only the first waits for Python and torch to start."""

        def setup(self, config: dict[str, Any], factory: TrialFactory) -> None:  # type: ignore[override]
            self._factory = factory
            self._trial = _opened(factory, config[SUGGESTION])

        def step(self) -> dict[str, Any]:
            result = self._trial.step()
            return {RESULT: result, "done": result.is_last}

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._trial.close()
            self._trial = _opened(self._factory, new_config[SUGGESTION])
            return True

        def cleanup(self) -> None:
            self._trial.close()

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            """Do nothing: the trial's run holds its checkpoints."""

        def load_checkpoint(self, checkpoint: Any) -> None:
            """Do nothing: a trial resumes from its run when it is opened."""

    return TrialActor
