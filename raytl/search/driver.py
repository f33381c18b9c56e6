"""`tune`: from an experiment to the best way to transfer on this data, whatever is killed on the way.

Optuna's storage says which trials there are, the trials' folders how far each has come; this file only puts the parts in
their order. Starting it again goes on where it was.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from raytl.cluster.metrics import exporting_metrics
from raytl.cluster.session import nodes, session
from raytl.config.dump import to_yaml
from raytl.config.fingerprint import decisive
from raytl.config.places import sweep_uri
from raytl.config.schema import Experiment
from raytl.config.space import Space, space_of
from raytl.errors import TrainingError
from raytl.events import Message, OnEvent, ignore
from raytl.models.forward import pick_device, pick_precision
from raytl.run.atomic import write_json, write_text
from raytl.run.logs import log_to, logged
from raytl.run.run_store import RunStore
from raytl.search.budget import BudgetTracker, refuse_beyond
from raytl.search.checkpoints import Checkpoints, others, remove
from raytl.search.executor import TrialExecutor, run_here, run_on_tune, trial_factory
from raytl.search.head import solved_head
from raytl.search.outcome import report_on, result_of
from raytl.search.plan import CostEstimate, SweepPlan
from raytl.search.preflight import depth_costs, depths_of, projected, share_epochs
from raytl.search.searcher import StudyScheduler, StudySearcher
from raytl.search.shape import Node, fitting, trial_shape
from raytl.search.study import TRIALS, Study
from raytl.search.summary import SUMMARY, TOTAL_FORMAT, SweepResult, ended, finished, wall_s
from raytl.search.sweep_state import SweepState
from raytl.search.trial import SweepJob, Task, epochs_of, sweep_root, trial_experiment
from raytl.search.winner import select_winner
from raytl.search.worker import Result
from raytl.store.s3_settings import S3Settings
from raytl.training.driver import plan
from raytl.training.plan import Plan
from raytl.uris import is_remote

_GB = 1e9


@dataclass(frozen=True)
class _Made:
    """What is known before anything starts."""

    experiment: Experiment
    plan: Plan
    stages: int
    space: Space
    base: dict[str, Any]
    folder: Path


def plan_sweep(experiment: Experiment, *, add: int = 0, on_event: OnEvent = ignore) -> SweepPlan:
    """Everything that `tune(experiment)` would do, its costs measured by a few steps.

    Raises:
        UserError: something is wrong with the experiment, the data or the space, or no trial fits the cluster.
    """
    made = _made(experiment, on_event)
    with _cluster(experiment) as machines:
        return _plan(made, machines, add)


def tune(experiment: Experiment, *, new: bool = False, add: int = 0, on_event: OnEvent = ignore) -> SweepResult:
    """Search for the best way to transfer, or go on where an interrupted sweep stopped; a finished one is left alone.

    With `new`, an existing sweep is set aside under another name first; with `add`, so many trials more are run.

    Raises:
        UserError: something is wrong with the experiment, the data, the space or the budget; nothing was started.
        TrainingError: the same error ended `search.max_errors` trials.
    """
    s3 = S3Settings.of(experiment.storage)
    on_event = exporting_metrics(on_event, experiment.name)
    run_store = RunStore(sweep_uri(experiment), apart=TRIALS, s3=s3)
    folder = run_store.folder.root
    if new:
        run_store.set_aside(on_event)
    run_store.fetch()
    if not add and (folder / SUMMARY).exists() and experiment.search.trials <= ended(folder):
        return finished(folder, experiment)
    made = _made(experiment, on_event)
    checkpoints = Checkpoints()

    def store() -> None:
        dropped = checkpoints.taken()
        run_store.push_all()
        remove(dropped, s3)

    with (
        run_store.owned(on_event),
        log_to(folder / "raytl.log", experiment.name),
        run_store.background_uploads(on_event, store),
    ):
        on_event = logged(on_event)
        started = time.monotonic()
        with _cluster(experiment) as machines:
            study = _study(made)
            total = _total(made, study, add)
            if experiment.search.budget.wall is not None or experiment.search.budget.gpu_hours is not None:
                refuse_beyond(experiment.search.budget, _plan(made, machines, add, study))
            shape = trial_shape(experiment.compute, machines)
            limit = fitting(shape, machines).concurrency
            executor = TrialExecutor(experiment.compute.cluster, shape, limit, experiment.compute.max_failures)
            write_text(folder / "experiment.yaml", to_yaml(experiment))
            job = replace(_job(made, total), write_token=run_store.write_token)
            if experiment.search.linear_probe:
                job = _reachable(solved_head(job, folder, executor, on_event), run_store)
            before_s = wall_s(folder)
            budget_tracker = BudgetTracker(experiment.search, shape, before_s=before_s, trial_s=_spent(study))
            sweep_state = SweepState(
                study, experiment.search, budget_tracker, epochs_of(experiment), total, on_event, checkpoints
            )
            try:
                _run(sweep_state, job, executor, folder)
            finally:
                write_json(folder / "clock.json", {"wall_s": budget_tracker.wall_s})
            _judge(sweep_state, folder)
            winner = select_winner(study.records(), job, executor, folder, experiment, on_event, checkpoints)
            if is_remote(run_store.uri):
                store()
                remove(others(job.root, sweep_state.wanted(), s3), s3)
        seconds = before_s + time.monotonic() - started
        files = report_on(folder, made.plan, experiment, made.space, study, winner, seconds)
        status: Any = "stopped by budget" if budget_tracker.spent() else "finished"
        values = _stored(result_of(folder, experiment, study, winner, files, seconds), run_store)
        result = SweepResult(status=status, **values)
        write_json(folder / SUMMARY, asdict(result))
    return result


def _stored(values: dict[str, Any], run_store: RunStore) -> dict[str, Any]:
    """`values` with the places below the sweep's folder as they are where it is kept."""
    if not is_remote(run_store.uri):
        return values
    here = str(run_store.folder.root)
    return {k: v.replace(here, run_store.uri, 1) if isinstance(v, str) else v for k, v in values.items()}


def _reachable(job: SweepJob, run_store: RunStore) -> SweepJob:
    """`job` with the place of its solved head where every machine finds it."""
    if not is_remote(run_store.uri):
        return job
    run_store.push()
    return replace(job, probe=f"{run_store.uri}/{Path(job.probe).name}")


def _trials_root(experiment: Experiment) -> str:
    """Where trials are kept: a prefix in the sweep's bucket, or a folder."""
    uri = sweep_uri(experiment)
    return f"{uri}/{TRIALS}" if is_remote(uri) else str((sweep_root(experiment) / TRIALS).resolve())


def _made(experiment: Experiment, on_event: OnEvent) -> _Made:
    made = plan(experiment, on_event)
    for line in made.notes:
        on_event(Message(line))
    stages = len(made.stages) - 1
    space = space_of(experiment).resolved(stages)
    base = {**decisive(experiment.model_copy()), **_base(experiment)}
    for values in _corners(space):
        trial_experiment(experiment, Task(0, values), probe=experiment.search.linear_probe, root=".")
    return _Made(experiment, made, stages, space, base, sweep_root(experiment))


def _base(experiment: Experiment) -> dict[str, Any]:
    """Every value by dotted key, for the conditions."""
    found: dict[str, Any] = {}
    for section, values in experiment.model_dump().items():
        if isinstance(values, dict):
            found |= {f"{section}.{key}": value for key, value in values.items()}
    return found


def _corners(space: Space) -> Iterator[dict[str, Any]]:
    """The lowest and the highest values of the space: where they are accepted, so is what lies between."""
    for highest in (False, True):
        values: dict[str, Any] = {}
        for dimension in space.active(values, _Anything()):
            bound = dimension.high if highest else dimension.low
            choice = dimension.choices[-1 if highest else 0] if dimension.choices else None
            values[dimension.key] = choice if dimension.choices else (int(bound) if dimension.kind == "int" else bound)
        yield values


class _Anything(dict[str, Any]):
    """A base in which every key is all stages, so that conditions on fixed keys hold."""

    def __missing__(self, key: str) -> str:
        return "all"


@contextlib.contextmanager
def _cluster(experiment: Experiment) -> Iterator[list[Node]]:
    """The cluster's machines, with a Ray session inside unless the sweep runs in this process."""
    if experiment.compute.cluster == "none":
        gpus = 1.0 if pick_device(experiment.compute.device).type == "cuda" else 0.0
        yield [Node(float(len(os.sched_getaffinity(0))), gpus)]
        return
    with session(experiment.compute.cluster):
        yield [Node(*found) for found in nodes()]


def _study(made: _Made) -> Study:
    search = made.experiment.search
    keys = {dimension.key for dimension in made.space.dimensions}
    same = {key: value for key, value in decisive(made.experiment).items() if key not in keys}
    dataset = made.plan.dataset
    same |= {"dataset": dataset.digest, "weights": made.plan.weights_digest, **dataset.depth.recorded}
    same |= {"search.budget.max_epochs": epochs_of(made.experiment), "search.linear_probe": search.linear_probe}
    made.folder.mkdir(parents=True, exist_ok=True)
    return Study.open(
        made.folder,
        search,
        name=made.experiment.name,
        space=made.space,
        base=made.base,
        stages=made.stages,
        epochs=epochs_of(made.experiment),
        same=same,
        root=_trials_root(made.experiment),
    )


def _total(made: _Made, study: Study, add: int) -> int:
    """Trials in all: those of the file, or what an earlier `--add` made of them, and `add` more."""
    path = made.folder / "trials.json"
    before = TOTAL_FORMAT.load(path).trials if path.exists() else 0
    total = max(made.experiment.search.trials, before) + add
    write_json(path, {"trials": total})
    study.trials = total
    return total


def _plan(made: _Made, machines: list[Node], add: int, study: Study | None = None) -> SweepPlan:
    experiment, search = made.experiment, made.experiment.search
    shape = trial_shape(experiment.compute, machines)
    fit = fitting(shape, machines)
    done = study.counts()[0] if study else ended(made.folder)
    trials = max(search.trials, done) + add
    epochs = epochs_of(experiment)
    job = _job(made, trials)
    device = pick_device(experiment.compute.device)
    depths = depths_of(made.space, made.base, made.stages)
    costs = depth_costs(job, depths, device, pick_precision(experiment.train.precision, device))
    wall = projected(costs, trials - done, fit.concurrency, search, epochs)
    held = fit.concurrency * shape.workers * shape.gpus / 3600
    cache = _cache_bytes(made.space, [cost.cache_bytes for cost in costs])
    return SweepPlan(
        name=experiment.name,
        folder=str(made.folder),
        images={split: sum(counts.values()) for split, counts in made.plan.counts.items()},
        classes=len(made.plan.dataset.splits.classes),
        space=tuple((dimension.key, dimension.text) for dimension in made.space.dimensions),
        metrics=search.metrics,
        sampler=search.sampler,
        scheduler=search.scheduler,
        trials=trials,
        done=done,
        max_epochs=epochs,
        shape=shape,
        cluster_cpus=sum(machine.cpus for machine in machines),
        cluster_gpus=sum(machine.gpus for machine in machines),
        concurrency=fit.concurrency,
        arithmetic=fit.arithmetic,
        depths=costs,
        cache_bytes=cache,
        wall_s=wall,
        gpu_hours=CostEstimate(wall.low * held, wall.likely * held, wall.high * held),
        warnings=(*made.plan.warnings, *_cache_warning(cache, experiment)),
    )


def _cache_bytes(space: Space, by_depth: list[int]) -> int:
    """Bytes of shared activations when every depth meets every strength."""
    strengths = next((len(d.choices) or 1 for d in space.dimensions if d.key == "augment.strength"), 1)
    return strengths * sum(by_depth)


def _cache_warning(cache: int, experiment: Experiment) -> list[str]:
    limit = experiment.data.cache_limit_gb
    if cache <= limit * _GB:
        return []
    return [f"shared activations may take {cache / _GB:.1f} GB; data.cache_limit_gb is {limit:g}: the oldest go first"]


def _job(made: _Made, trials: int) -> SweepJob:
    experiment, splits = made.experiment, made.plan.dataset.splits
    depths = depths_of(made.space, made.base, made.stages)
    return SweepJob(
        experiment=experiment,
        root=_trials_root(experiment),
        train=splits.train,
        val=splits.val,
        classes=splits.classes,
        share=share_epochs(experiment.search, epochs_of(experiment), trials, len(depths)),
        bit_depth=made.plan.dataset.depth.depth,
    )


def _run(sweep_state: SweepState, job: SweepJob, executor: TrialExecutor, folder: Path) -> None:
    opens = trial_factory(job, executor.shape)
    if executor.cluster != "none":
        searcher = StudySearcher(sweep_state, executor.limit, executor.max_failures)
        run_on_tune(searcher, StudyScheduler(sweep_state), lambda: sweep_state.over, opens, executor, folder / ".ray")
        return

    def ask() -> Task | None:
        asked = sweep_state.ask()
        return Task(asked.number, asked.overrides) if asked else None

    def take(task: Task, result: Result) -> bool:
        if "failed" in result:
            sweep_state.tell(task.number, "failed", result)
            return True
        stop = sweep_state.report(task.number, result["epoch"], result)
        if result["done"]:
            sweep_state.tell(task.number, "complete", result)
        elif stop or sweep_state.over:
            sweep_state.tell(task.number, "pruned", result)
        return stop or sweep_state.over

    run_here(ask, take, opens)


def _judge(sweep_state: SweepState, folder: Path) -> None:
    """Say why the sweep stopped early, and stop where it has nothing to show."""
    if (broken := sweep_state.budget_tracker.broken()) is not None:
        raise TrainingError(
            f"{folder}: the same error ended {sweep_state.search.max_errors} trials, so the sweep stopped:\n  {broken}\n"
            "  Mend it and run the same command again to continue; what was told is kept."
        )
    if not any(record.values for record in sweep_state.study.records()):
        raise TrainingError(f"{folder}: no trial came to a score; their reasons are in {folder / 'raytl.log'}")
    if (spent := sweep_state.budget_tracker.spent()) is not None:
        sweep_state.on_event(Message(f"{spent}; the sweep ends with what it has", "warning"))


def _spent(study: Study) -> float:
    return sum(record.seconds for record in study.records() if record.state != "running")
