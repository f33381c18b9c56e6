"""The training loop: stages, epochs, validation, early stopping and checkpoints. It depends on torch, not on Ray.

Every decision (the stage, the best epoch, when to stop) depends only on values that are equal on all ranks, so all
ranks take the same branches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from raytl.config.schema import Experiment, TrainConfig
from raytl.errors import RunError
from raytl.events import EpochEnded, Resumed, StageOpened
from raytl.metrics.direction import sign
from raytl.models.backbone import Backbone
from raytl.tasks.task import Task, Validation
from raytl.training.checkpoint import Best, Checkpoint, Progress, optimizer_state, restore_optimizer
from raytl.training.phase import Phase, open_phase
from raytl.training.stages import TrainStage, stage_at
from raytl.training.steps import PauseRequested, TrainContext, train_epoch
from raytl.training.validate import ValSplit, validate


@dataclass(frozen=True)
class RunWriter:
    """The callbacks that save results of the loop; only the main rank calls them.

    `record` gets the metrics of an epoch, `best` the network (with the evaluated weights) and its validation,
    `last` a complete checkpoint.
    """

    record: Callable[[Mapping[str, float | str]], None]
    best: Callable[[torch.nn.Module, Validation, int], None]
    last: Callable[[Checkpoint], None]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run: its best epoch (zero-based) with metrics, and its number of epochs."""

    best: Best
    epochs: int
    early_stopped: bool


def epochs(
    context: TrainContext,
    backbone: Backbone,
    stages: tuple[TrainStage, ...],
    split: ValSplit,
    writer: RunWriter,
    resume: Checkpoint | None,
) -> Iterator[Progress]:
    """Train from `resume`, or from the start, to the last epoch or the early stop; yield the progress after each epoch.

    The checkpoint of the epoch is written before, so the caller may stop iterating at any point.

    Raises:
        NonFiniteLoss: the loss became NaN or infinite.
        PauseRequested: the machines are about to be reclaimed; the progress was saved.
        RunError: the checkpoint does not match the plan.
    """
    progress = restore(context, backbone, resume)
    phase: Phase | None = None
    while not is_finished(context.experiment, progress):
        stage = stage_at(stages, progress.epoch)
        if phase is None or phase.stage != stage:
            phase = _open_stage(context, backbone, stage, stages, phase, resume if phase is None else None)
        progress = replace(progress, trainable=phase.trainable)
        done = train_epoch(context, phase, progress, saver(context, phase, writer))
        progress = _end_epoch(context, phase, split, writer, done.progress, done.rates)
        saver(context, phase, writer)(progress)
        yield progress
        if done.pause and not is_finished(context.experiment, progress):
            raise PauseRequested


def is_finished(experiment: Experiment, progress: Progress) -> bool:
    """Return True if training is finished."""
    return progress.stopped or progress.epoch >= experiment.train.epochs


def restore(context: TrainContext, backbone: Backbone, resume: Checkpoint | None) -> Progress:
    """Load `resume` into the network and what is beside it, and return its progress; that of the start without one."""
    if resume is None:
        return Progress()
    backbone.module.load_state_dict(resume.model)
    if context.average is not None:
        context.average.shadow = {name: tensor.to(context.device) for name, tensor in resume.average.items()}
    if context.objective.state is not None:
        context.objective.state.load_state_dict(resume.objective)
    if resume.scaler:
        context.scaler.load_state_dict(resume.scaler)
    _emit(context, Resumed(epoch=resume.progress.epoch + 1, step=resume.progress.step))
    return resume.progress


def _open_stage(
    context: TrainContext,
    backbone: Backbone,
    stage: TrainStage,
    stages: tuple[TrainStage, ...],
    before: Phase | None,
    resume: Checkpoint | None,
) -> Phase:
    owned = context.objective.state
    phase = open_phase(backbone, stage, stages, context.experiment, context.world, context.device, before, owned)
    if resume is not None:
        if resume.progress.step and resume.progress.trainable != phase.trainable:
            raise RunError(
                f"{context.experiment.name}: the trainable parameters of the checkpoint differ from those that the plan "
                f"has for epoch {resume.progress.epoch + 1}.\n"
                "  Run with --new to start over; the old run is renamed, not deleted."
            )
        restore_optimizer(phase.optimizer, resume.optimizer)
    if context.average is not None:
        context.average.track(phase.tracked_tensors())
    parameters = list(phase.module.parameters())
    _emit(
        context,
        StageOpened(
            epoch=stage.first + 1,
            name=stage.name,
            learning=tuple(phase.opened),
            rates={group["group"]: group["base_lr"] for group in phase.optimizer.param_groups},
            trainable=sum(p.numel() for p in parameters if p.requires_grad),
            total=sum(p.numel() for p in parameters),
        ),
    )
    return phase


def _end_epoch(
    context: TrainContext,
    phase: Phase,
    split: ValSplit,
    writer: RunWriter,
    progress: Progress,
    rates: dict[str, float],
) -> Progress:
    """Validate, save the best, report, and apply early stopping; return the progress at the start of the next epoch."""
    train, started = context.experiment.train, time.monotonic()
    result = validate(context, phase, split)
    if context.world.is_main:
        context.world.status.wait_for_driver()
    best = progress.best
    is_best = is_better(split.task, result.metrics, best.metrics if best else None, train.metric)
    if is_best or best is None:
        best = Best(progress.epoch, result.metrics)
        if context.world.is_main:
            _save_best(context, phase, writer, result, progress.epoch)
    metrics = {
        "train/loss": progress.loss_sum / progress.seen,
        "train/images_per_s": progress.seen / progress.seconds,
        "train/seconds": progress.seconds,
        **result.metrics,
        "val/seconds": time.monotonic() - started,
        **context.objective.records,
        **{f"lr/{group}": rate for group, rate in rates.items()},
    }
    if context.world.is_main:
        writer.record({"epoch": progress.epoch + 1, "stage": phase.stage.name, "best": is_best, **metrics})
    _emit(context, EpochEnded(progress.epoch + 1, train.epochs, metrics, is_best, best.epoch + 1))
    return Progress(
        epoch=progress.epoch + 1,
        best=best,
        trainable=phase.trainable,
        stopped=_stops_early(train, phase.stage, progress.epoch, best.epoch),
    )


def is_better(task: Task, candidate: Mapping[str, float], best: Mapping[str, float] | None, metric: str) -> bool:
    """Return True if `candidate` is better than `best` by `metric`; on a tie, the task's tie breaker decides."""
    tie_breaker = task.tie_breaker
    return best is None or rank(candidate, metric, tie_breaker) > rank(best, metric, tie_breaker)


def rank(metrics: Mapping[str, float], metric: str, tie_breaker: str) -> tuple[float, float]:
    """Return the values to compare, higher is better; an undefined one is the worst. `tie_breaker` is without `val/`."""
    first, second = (sign(name) * metrics[name] for name in (metric, f"val/{tie_breaker}"))
    return tuple(-math.inf if math.isnan(value) else value for value in (first, second))  # type: ignore[return-value]


def _stops_early(train: TrainConfig, stage: TrainStage, epoch: int, best: int) -> bool:
    """Return True after `early_stop` epochs of the last stage without improvement; earlier stages never stop."""
    return 0 < train.early_stop <= epoch - max(best, stage.first) and stage.end == train.epochs


def _save_best(context: TrainContext, phase: Phase, writer: RunWriter, result: Validation, epoch: int) -> None:
    if context.average is None:
        writer.best(phase.module, result, epoch)
    else:
        with context.average.swapped_in(phase.module):
            writer.best(phase.module, result, epoch)


def saver(context: TrainContext, phase: Phase, writer: RunWriter) -> Callable[[Progress], None]:
    """Return the function that saves the checkpoint after a step; ranks other than the main one save nothing."""

    def save(progress: Progress) -> None:
        if context.world.is_main:
            context.world.status.begin(f"saving the checkpoint of epoch {progress.epoch + 1}, step {progress.step}")
            context.world.status.wait_for_driver()
            writer.last(
                Checkpoint(
                    progress=progress,
                    model=phase.module.state_dict(),
                    average=context.average.shadow if context.average is not None else {},
                    optimizer=optimizer_state(phase.optimizer),
                    scaler=context.scaler.state_dict(),
                    objective={} if (owned := context.objective.state) is None else owned.state_dict(),
                )
            )

    return save


def _emit(context: TrainContext, event: StageOpened | Resumed | EpochEnded) -> None:
    if context.world.is_main:
        context.emit(event)
