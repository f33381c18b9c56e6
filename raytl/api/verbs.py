"""The verbs of the API: each takes what a user has at hand, shows its progress, and returns a value."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytl.api.run import Run, machine_of
from raytl.cli.watch import watched
from raytl.config.machine import Machine, assignment
from raytl.config.override import override
from raytl.config.places import sweep_uri
from raytl.config.schema import Experiment
from raytl.events import OnEvent
from raytl.gc_pause import importing
from raytl.run.folder import working_copy
from raytl.starter import experiment_from
from raytl.store.s3_settings import S3Settings

if TYPE_CHECKING:
    from raytl.advice.next_images import NextImages
    from raytl.advice.result import Advice
    from raytl.api.sweep import Sweep
    from raytl.assessment.report import Assessment
    from raytl.retraining.tick import Retraining
    from raytl.search.plan import SweepPlan
    from raytl.training.plan import Plan

Source = Experiment | str | os.PathLike[str]
"""An experiment, an experiment file, or images: a folder, an `s3://` URI, an archive or a manifest."""


def train(
    source: Source,
    model: str | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    new: bool = False,
    progress: bool = True,
    on_event: OnEvent | None = None,
) -> Run:
    """Fine-tune a model, or resume an interrupted run; a finished run is left alone and returned.

    `source` is an experiment, an experiment file, or images with the defaults that `raytl init` writes. `model` replaces
    the model's name, and `overrides` (by dotted key) any values. `new` starts over; an existing run is kept under
    another name. `progress` shows bars in a terminal or a notebook; `on_event` receives the same events as values.

    Raises:
        UserError: the experiment, the data, the model or the run folder is wrong; nothing was changed.
        TrainingError: training stopped; its checkpoints are intact.
    """
    with watched(progress, on_event) as emit:
        experiment = source_experiment(source, model, overrides, emit)
        from raytl.training.early import early_workers

        with early_workers(experiment):
            with importing():
                from raytl.training import driver

            done = driver.train(experiment, new=new, on_event=emit)
    machine = Machine.of(experiment)
    return Run(done.run, experiment, done.status, done.best_epoch, done.epochs, done.metrics, machine)


def plan(
    source: Source,
    model: str | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    progress: bool = True,
    on_event: OnEvent | None = None,
) -> Plan:
    """Return everything that `train` would do, after reading the data and building the model. Trains nothing.

    Raises:
        UserError: every problem of the model and of the data at once.
    """
    with watched(progress, on_event) as emit:
        experiment = source_experiment(source, model, overrides, emit)
        with importing():
            from raytl.training import driver

        return driver.plan(experiment, emit)


def advise(
    source: Source,
    model: str | None = None,
    *,
    weights: Sequence[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    progress: bool = True,
    on_event: OnEvent | None = None,
) -> Advice:
    """Return which pretrained weights fit the training images, and how to fine-tune them. Trains nothing.

    `source`, `overrides`, `progress` and `on_event` are as in `train`. `weights` are models, weight files, runs or versions,
    or `MODEL=FILE`; by default the model of the experiment and light ones that are available. `model` is that of files
    which do not say theirs. `raytl.train(advice.experiment)` follows the advice.

    Raises:
        UserError: the experiment, the data or the weights are wrong; all weights that are not available at once.
    """
    with watched(progress, on_event) as emit:
        experiment = source_experiment(source, model, overrides, emit)
        from raytl.advice.source import advice_for

        return advice_for(experiment, weights, model, emit)


def next_images(
    source: Source,
    count: int = 35,
    model: str | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
    overrides: Mapping[str, Any] | None = None,
    progress: bool = True,
    on_event: OnEvent | None = None,
) -> NextImages:
    """Return which `count` images of `data.unlabelled` to label next: uncertain ones that differ from each other.

    `source`, `model`, `overrides`, `progress` and `on_event` are as in `train`. `out` is a .csv to fill in, which is written with a
    page of thumbnails beside it; `force` overwrites files that exist.

    Raises:
        UserError: the experiment or the data is wrong, or no source of unlabelled images is named.
    """
    with watched(progress, on_event) as emit:
        experiment = source_experiment(source, model, overrides, emit)
        from raytl.advice import next_images as driver

        return driver.next_images(experiment, count, None if out is None else Path(out), emit, force)


def tune(
    source: Source,
    model: str | None = None,
    *,
    trials: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    new: bool = False,
    add: int = 0,
    progress: bool = True,
    on_event: OnEvent | None = None,
) -> Sweep:
    """Search for the best way to transfer, or resume an interrupted sweep; a finished sweep is returned.

    `source`, `model`, `overrides`, `new`, `progress` and `on_event` are as in `train`. `trials` is `search.trials`, and
    `add` runs that many more than before; until these ended, the same call resumes them.

    Raises:
        UserError: the experiment, the data, the space or the budget is wrong; nothing was started.
        TrainingError: the same error ended `search.max_errors` trials.
    """
    values = dict(overrides or {}) | ({} if trials is None else {"search.trials": trials})
    with watched(progress, on_event, sweep=True) as emit:
        experiment = source_experiment(source, model, values, emit)
        from raytl.search.early import early_trials

        with early_trials(experiment, again=new or add > 0):
            with importing():
                from raytl.search import driver

            done = driver.tune(experiment, new=new, add=add, on_event=emit)
        from raytl.api.sweep import sweep_of

    uri = sweep_uri(experiment)
    winner = Run.open(done.run, machine=Machine.of(experiment))
    return sweep_of(
        done,
        uri,
        working_copy(uri, S3Settings.of(experiment.storage)) / "trials.csv",
        replace(winner, status="trained"),
    )


def plan_sweep(
    source: Source,
    model: str | None = None,
    *,
    trials: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    add: int = 0,
    progress: bool = True,
    on_event: OnEvent | None = None,
) -> SweepPlan:
    """Return everything that `tune` would do and cost, measured with a few steps.

    Raises:
        UserError: the experiment, the data or the space is wrong, or no trial fits the cluster.
    """
    values = dict(overrides or {}) | ({} if trials is None else {"search.trials": trials})
    with watched(progress, on_event, sweep=True) as emit:
        experiment = source_experiment(source, model, values, emit)
        with importing():
            from raytl.search import driver

        return driver.plan_sweep(experiment, add=add, on_event=emit)


def retrain(
    source: Source,
    *,
    overrides: Mapping[str, Any] | None = None,
    dry_run: bool = False,
    now: datetime | None = None,
    progress: bool = True,
    on_event: OnEvent | None = None,
) -> Retraining:
    """Run one retraining tick: observe, decide, train if there is a reason, compare, promote or keep.

    Its page is written, and `retrain.notify` called, as by `raytl retrain`. With `dry_run`, observe and decide only.

    Raises:
        ConfigError: `retrain.registry` is not set.
        TickFailed: the tick failed, or was interrupted by what may be over soon; the champion is unchanged.
    """
    with watched(progress, on_event) as emit:
        experiment = source_experiment(source, None, overrides, emit)
        from raytl.retraining import tick
        from raytl.retraining.after import after_tick

        after = after_tick(experiment, emit)
        return tick.retrain(experiment, dry_run=dry_run, now=now, on_event=emit, after=after)


def evaluate(
    run: str | os.PathLike[str],
    *,
    split: str = "test",
    again: bool = False,
    workers: int = 1,
    device: str | None = None,
    machine: Machine | None = None,
    progress: bool = True,
    on_event: OnEvent | None = None,
) -> Any:
    """Score a run's best checkpoint on `split`, with 95 % intervals, and write the report into the run.

    The report of a classifier is a `raytl.Report`. Each evaluation of the test split is recorded first. Without `again`, the report of the last one is returned.
    `machine` says how buckets and clusters are reached: by default as the experiment of a `Run` says.

    Raises:
        RunError: no such run, not finished (for the test split), changed files, or an empty split.
        DataError: images of the split changed or are missing.
        TestLockedError: the test split was evaluated with other weights, and `again` is false.
    """
    from raytl.evaluation import evaluate as scoring

    with watched(progress, on_event) as emit:
        return scoring.evaluate(
            os.fspath(run),
            split=split,
            again=again,
            workers=workers,
            device=device,
            machine=machine or machine_of(run, workers),
            on_event=emit,
        )


def report(
    run: str | os.PathLike[str],
    *,
    sections: Sequence[str] | None = None,
    require: Sequence[str] = (),
    recall: Sequence[str] = (),
    quick: bool = False,
    full: bool = False,
    suite: str | None = None,
    photos: int | None = None,
    device: str | None = None,
    machine: Machine | None = None,
    progress: bool = True,
    on_event: OnEvent | None = None,
) -> Assessment:
    """Return what can be trusted about a run, and write it into its folder `evaluation/report`; no test image is read.

    `sections` are names, all by default. `require` and `recall` are aims such as `accuracy>=0.95` (of what is answered) and
    `trash>=0.9` (the recall of a class); `unmet` of the result has a sentence for each that is not met. With `quick`, the
    train split is not used and no photo is corrupted; otherwise at most `photos` (100) validation photos are, by the corruptions
    of `suite` (camera). With `full`, networks that never saw a group of `data.columns` are trained, two for each of the five
    largest; an interrupted call continues.

    Raises:
        UserError: there is no such section or class, or the report does not apply to the run's task.
        RunError: no such run, changed files, or its test split was not evaluated: run `evaluate` first.
    """
    from raytl.assessment import report as reporting

    with watched(progress, on_event) as emit:
        return reporting.report(
            os.fspath(run),
            sections=sections,
            require=require,
            recall=recall,
            quick=quick,
            full=full,
            suite=suite,
            photos=photos,
            device=device,
            machine=machine or machine_of(run),
            on_event=emit,
        )


def source_experiment(
    source: Source, model: str | None, overrides: Mapping[str, Any] | None, on_event: OnEvent
) -> Experiment:
    """Return the experiment that `source` is, names, or is made for, with `model` and `overrides` set."""
    values = dict(overrides or {})
    if isinstance(source, Experiment):
        values |= {} if model is None else {"model.name": model}
        return override(source, values) if values else source
    texts = [assignment(key, value) for key, value in values.items()]
    return experiment_from(os.fspath(source), model, texts, on_event)
