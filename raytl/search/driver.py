"""`tune`: run a sweep from an experiment to its winner, in a sequence of steps.

Optuna's storage holds the trials, and the trials' runs hold their progress, so a killed sweep resumes if it is started
again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from raytl.cluster.background import await_session
from raytl.cluster.metrics import exporting_metrics
from raytl.cluster.process_state import preserved_state
from raytl.cluster.session import nodes, session
from raytl.cluster.sigterm import exiting_on_sigterm
from raytl.cluster.worker_group import own_cpus
from raytl.config.dump import to_yaml
from raytl.config.places import sweep_uri
from raytl.config.schema import ComputeConfig, Experiment
from raytl.errors import TrainingError
from raytl.events import Message, OnEvent, ignore
from raytl.models.forward import pick_device
from raytl.run.atomic import write_json, write_text
from raytl.run.logs import log_to, logged
from raytl.run.run_store import RunStore
from raytl.search.budget import BudgetTracker, check_budget, idle_budget
from raytl.search.checkpoints import Checkpoints, others, remove
from raytl.search.executor import TrialExecutor, run_here, run_on_tune, trial_factory
from raytl.search.head import solved_head
from raytl.search.image_scale import measured_at, on_smaller_images
from raytl.search.inputs import (
    SweepInputs,
    check_finished,
    ended_trials,
    open_study,
    set_total,
    sweep_inputs,
    sweep_job,
)
from raytl.search.noise import NoiseStop, validation_noise
from raytl.search.outcome import report_on, result_of
from raytl.search.plan import SweepPlan
from raytl.search.preflight import sweep_plan
from raytl.search.prior import save
from raytl.search.record import finalists
from raytl.search.searcher import StudyScheduler, StudySearcher
from raytl.search.shape import Node, fitting, runs_here, this_machine, trial_shape
from raytl.search.study import TRIALS, Study
from raytl.search.summary import SUMMARY, SweepResult, Total, finished, is_finished, wall_s, write_wall_s
from raytl.search.sweep_state import SweepState
from raytl.search.trial import epochs_of, full_size
from raytl.search.winner import Jobs, Winner, select_winner
from raytl.store.s3_settings import S3Settings
from raytl.tasks.auto_recipe import write_choices
from raytl.tasks.defaults import completed
from raytl.tasks.detect import with_task
from raytl.training.job import TrainJob
from raytl.uris import is_remote


def plan_sweep(experiment: Experiment, *, add: int = 0, on_event: OnEvent = ignore) -> SweepPlan:
    """Return what `tune(experiment)` would do, with costs measured by a few training steps.

    Raises:
        UserError: the experiment, the data or the space has a problem, or no trial fits the cluster.
    """
    experiment = completed(with_task(experiment, on_event))
    inputs = on_smaller_images(sweep_inputs(experiment, on_event))
    with _cluster(experiment) as cluster:
        return sweep_plan(inputs, cluster, ended_trials(inputs), add)


def tune(experiment: Experiment, *, new: bool = False, add: int = 0, on_event: OnEvent = ignore) -> SweepResult:
    """Search for the best way to transfer, or resume an interrupted sweep; a finished one is left unchanged.

    With `new`, an existing sweep is renamed first; with `add`, that many more trials run: until they ended, the same call
    resumes them.

    Raises:
        UserError: the experiment, the data, the space or the budget has a problem; nothing was started.
        TrainingError: the same error ended `search.max_errors` trials.
    """
    experiment = completed(with_task(experiment, on_event))
    on_event = exporting_metrics(on_event, experiment.name)
    run_store = RunStore(sweep_uri(experiment), apart=TRIALS, s3=S3Settings.of(experiment.storage))
    folder = run_store.folder.root
    inputs: SweepInputs | None = None
    if new:  # a fault is found before the old sweep is renamed
        inputs = on_smaller_images(sweep_inputs(experiment, on_event, new=True))
        run_store.set_aside(on_event)
    run_store.fetch()
    if inputs is None and not add and is_finished(folder, experiment.search):
        check_finished(folder, experiment)
        return finished(folder, experiment)
    inputs = inputs or on_smaller_images(sweep_inputs(experiment, on_event))
    sweep = _Sweep(inputs, run_store, logged(on_event))
    with (
        run_store.owned(on_event),
        log_to(folder / "raytl.log", experiment.name),
        run_store.background_uploads(on_event, sweep.store),
    ):
        return _run_sweep(sweep, add)


@dataclass(frozen=True)
class _Sweep:
    """A sweep that this process owns."""

    inputs: SweepInputs
    run_store: RunStore
    on_event: OnEvent
    checkpoints: Checkpoints = field(default_factory=Checkpoints)

    @property
    def folder(self) -> Path:
        return self.run_store.folder.root

    def store(self) -> None:
        """Upload what changed, then delete the checkpoints that the uploaded journal no longer needs."""
        dropped = self.checkpoints.taken()
        self.run_store.push_all()
        remove(dropped, S3Settings.of(self.inputs.experiment.storage))


def _run_sweep(sweep: _Sweep, add: int) -> SweepResult:
    """Run the remaining trials, select the winner, and write the results."""
    experiment, folder, started = sweep.inputs.experiment, sweep.folder, time.monotonic()
    if sweep.inputs.plan.recipe:
        write_choices(folder, sweep.inputs.plan.recipe)
    if sweep.inputs.prior is not None:
        save(folder, sweep.inputs.prior)
    with _cluster(experiment) as cluster:
        study = open_study(sweep.inputs)
        # before the number of trials is stored: a refused one is not kept
        _check_budget(sweep.inputs, cluster, study, add)
        total = set_total(sweep.inputs, study, add)
        executor = _executor(experiment, cluster)
        if idle := idle_budget(experiment.search.budget, executor.shape):
            sweep.on_event(Message(idle, "warning"))
        write_text(folder / "experiment.yaml", to_yaml(experiment))
        job = _job(sweep, executor)
        before_s = wall_s(folder)
        state = _state(sweep, study, executor, total, before_s + time.monotonic() - started)
        state.noise_stop = _noise_stop(sweep, study, job, total, executor)
        with _process(experiment.compute, executor):
            _run_trials(state, job, executor, folder)
            _check_outcome(state, folder)
            finals = _finalists_job(sweep, job, executor)
            winner = select_winner(
                study.records(), Jobs(job, finals), executor, folder, experiment, sweep.on_event, sweep.checkpoints
            )
        _delete_unneeded(sweep, job, state)
        job.discard_samples()
    return _write_result(sweep, state, winner, before_s + time.monotonic() - started)


@contextlib.contextmanager
def _process(compute: ComputeConfig, executor: TrialExecutor) -> Iterator[None]:
    """Use this process for trials that run here, and leave it as it was."""
    if not executor.is_here:
        yield
        return
    with preserved_state(), own_cpus(compute):
        yield


@contextlib.contextmanager
def _cluster(experiment: Experiment) -> Iterator[list[Node]]:
    """Connect to Ray, unless the sweep runs in this process, and yield the nodes."""
    compute = experiment.compute
    if runs_here(compute, machine := _machine(compute)):
        with exiting_on_sigterm():
            yield [machine]
        return
    await_session()
    with session(compute.cluster):
        yield [Node(*resources) for resources in nodes()]


def _machine(compute: ComputeConfig) -> Node:
    """Return this machine; without Ray, a process uses one of its GPUs."""
    gpus = torch.cuda.device_count() if pick_device(compute.device).type == "cuda" else 0
    return this_machine(min(gpus, 1) if compute.cluster == "none" else gpus)


def _check_budget(inputs: SweepInputs, cluster: list[Node], study: Study, add: int) -> None:
    budget = inputs.experiment.search.budget
    if budget.wall is not None or budget.gpu_hours is not None:
        check_budget(budget, sweep_plan(inputs, cluster, study.counts()[0], add))


def _executor(experiment: Experiment, cluster: list[Node]) -> TrialExecutor:
    compute = experiment.compute
    shape = trial_shape(compute, cluster)
    where = "none" if runs_here(compute, _machine(compute)) else compute.cluster
    return TrialExecutor(where, shape, fitting(shape, cluster).concurrency, compute.max_failures)


def _job(sweep: _Sweep, executor: TrialExecutor) -> TrainJob:
    """Return the job of the sweep's trials, with its head."""
    job = sweep_job(sweep.inputs, sweep.run_store.write_token)
    return _with_head(sweep, job if executor.is_here else job.sharing_samples(), executor, "head")


def _finalists_job(sweep: _Sweep, trials: TrainJob, executor: TrialExecutor) -> TrainJob:
    """Return the job of the finalists' repetitions: that of the trials, or at the full size with a head of its own."""
    if sweep.inputs.trials is None:
        return trials
    return _with_head(sweep, full_size(trials, sweep.inputs.experiment), executor, "head-full-size")


def _with_head(sweep: _Sweep, job: TrainJob, executor: TrialExecutor, name: str) -> TrainJob:
    """Return the job; with `search.linear_probe`, its head is solved and lies where every node finds it."""
    run_store = sweep.run_store
    if not sweep.inputs.experiment.search.linear_probe:
        return job
    if job.folds:
        heads = [sweep.folder / f"fold-{fold}" / name for fold in range(len(job.folds))]
        solved = [_solved(sweep, fold, head, executor) for fold, head in zip(job.folds, heads, strict=True)]
        job = replace(job, folds=tuple(solved))
    else:
        job = _solved(sweep, job, sweep.folder / name, executor)
    if is_remote(run_store.uri):
        run_store.push()
    return job


def _solved(sweep: _Sweep, job: TrainJob, target: Path, executor: TrialExecutor) -> TrainJob:
    """Return `job` with the location where every node finds its solved head, in `target` here."""
    job, uri = solved_head(job, target, executor, sweep.on_event), sweep.run_store.uri
    if not is_remote(uri):
        return job
    return replace(job, probe=f"{uri}/{Path(job.probe).relative_to(sweep.folder.resolve())}")


def _state(sweep: _Sweep, study: Study, executor: TrialExecutor, total: Total, before_s: float) -> SweepState:
    search = sweep.inputs.experiment.search
    return SweepState(
        study=study,
        search=search,
        budget_tracker=BudgetTracker(search, executor.shape, before_s=before_s),
        epochs=epochs_of(sweep.inputs.experiment),
        total=total.trials,
        on_event=sweep.on_event,
        checkpoints=sweep.checkpoints,
        stop=total.stop,
    )


def _noise_stop(sweep: _Sweep, study: Study, job: TrainJob, total: Total, executor: TrialExecutor) -> NoiseStop | None:
    """Return the rule that may stop the sweep at the noise of validation; None if all trials are to run."""
    search = sweep.inputs.experiment.search
    if search.stop == "never" or total.planned is not None or len(search.metrics) > 1 or study.is_grid:
        return None
    metric = search.metrics[0]
    job = executor.beside_trials(job)
    return NoiseStop(sweep.folder, metric, lambda trial: validation_noise(trial, job, metric), sweep.on_event)


def _run_trials(state: SweepState, job: TrainJob, executor: TrialExecutor, folder: Path) -> None:
    """Run the remaining trials, and record the wall time even if that fails."""
    factory = trial_factory(job, executor.shape)
    try:
        if executor.is_here:
            run_here(state, factory)
        else:
            searcher = StudySearcher(state, executor.limit, executor.max_failures)
            scheduler, scratch = StudyScheduler(state), folder / ".ray"
            run_on_tune(searcher, scheduler, lambda: state.is_over, factory, executor, scratch)
        state.store_seconds()
    finally:
        write_wall_s(folder, state.budget_tracker.wall_s)


def _check_outcome(state: SweepState, folder: Path) -> None:
    """Raise a TrainingError if the sweep is broken or no trial ended with a score; warn if the budget stopped it."""
    if (error := state.budget_tracker.broken()) is not None:
        raise TrainingError(
            f"{folder}: the same error ended {state.search.max_errors} trials, so the sweep stopped:\n  {error}\n"
            "  Fix it and run the same command again to resume; all results are kept."
        )
    reason = state.budget_stop
    if not finalists(state.study.records(), state.search.metrics[0]):
        raise TrainingError(f"{folder}: {_without_scores(reason, folder / 'raytl.log')}")
    if reason is not None:
        state.on_event(Message(f"{reason}; the sweep ends with the trials that it has", "warning"))


def _without_scores(spent: str | None, log: Path) -> str:
    """Return why no trial ended with a score, and what to do."""
    if spent is None:
        return f"no trial ended with a score; the reasons are in {log}"
    return (
        f"{spent}, and no trial ended with a score, so there is no winner.\n"
        "  Set a larger budget and run the same command again to resume; all checkpoints are kept."
    )


def _delete_unneeded(sweep: _Sweep, job: TrainJob, state: SweepState) -> None:
    """Upload the sweep, and delete the checkpoints in its bucket that no trial needs."""
    if is_remote(sweep.run_store.uri):
        sweep.store()
        remove(others(job.location, state.wanted(), job.s3), job.s3)


def _write_result(sweep: _Sweep, state: SweepState, winner: Winner, seconds: float) -> SweepResult:
    """Write the report and the summary."""
    inputs, folder, run_store = sweep.inputs, sweep.folder, sweep.run_store
    spent = f"the sweep ended early, as {state.budget_stop}" if state.budget_stop else ""
    stop, sizes = state.stop.reason if state.stop else spent, measured_at(inputs)
    files = report_on(folder, inputs.plan, inputs.experiment, inputs.space, state.study, winner, seconds, stop, sizes)
    result = result_of(folder, inputs.experiment, state.study, winner, files, seconds, sizes)
    if state.stop is not None:
        result = replace(result, status="stopped at validation noise", stop=state.stop)
    if state.budget_stop:
        result = replace(result, status="stopped by budget")
    if is_remote(run_store.uri):
        result = result.moved(str(folder), run_store.uri)
    write_json(folder / SUMMARY, asdict(result))
    return result
