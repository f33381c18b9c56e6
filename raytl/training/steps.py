"""One epoch of training steps: read batches, reduce gradients over the ranks, update weights.

No step makes the host wait for the device or the device for the host: batches are copied while the step before runs
(`transfer`), and what the host must know of a step it reads a step later (`step_log`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from raytl.config.schema import Experiment
from raytl.data.loader import Batch, TrainLoader
from raytl.data.transforms import Preprocess
from raytl.events import OnEvent, Step
from raytl.models.forward import to_input
from raytl.throttle import Throttle
from raytl.training.average import WeightAverage
from raytl.training.checkpoint import Progress
from raytl.training.collectives import average_gradients, broadcast_statistics
from raytl.training.normalizer import Normalizer
from raytl.training.objectives.objective import LABELLED, LossSum, StepObjective
from raytl.training.phase import Phase
from raytl.training.step_log import Requests, StepDone, StepLog
from raytl.training.transfer import StepBatch, moved
from raytl.world import World

EVENT_EVERY_S = 0.5
"""Minimum interval between step events of an epoch, except its last."""
_MAX_SEED = 2**63 - 1


class PauseRequested(Exception):
    """Raised on every rank after a step whose checkpoint was saved."""


class TrainBatches(Protocol):
    """The training batches of a rank, by epoch, each with the size of its global batch."""

    steps: int

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Batch, int]]:
        """Yield the batches of `epoch` from `start_step`."""
        ...

    def close(self) -> None:
        """Stop loading."""
        ...


@dataclass(frozen=True)
class TrainContext:
    """The constants of a run: its experiment, world, device, loader and objective."""

    experiment: Experiment
    world: World
    device: torch.device
    precision: torch.dtype
    channels_last: bool
    preprocess: Preprocess
    loader: TrainBatches
    objective: StepObjective
    average: WeightAverage | None
    scaler: torch.amp.GradScaler
    emit: OnEvent


@dataclass(frozen=True)
class EpochDone:
    """The progress after the last step of an epoch, its learning rates, and whether the ranks agreed to pause."""

    progress: Progress
    rates: dict[str, float]
    pause: bool


def train_epoch(context: TrainContext, phase: Phase, progress: Progress, save: Callable[[Progress], None]) -> EpochDone:
    """Run the rest of the current epoch; its losses are all read at the end.

    `save` is called with the progress every `train.checkpoint_every_s`, on all ranks at the same step.

    Raises:
        NonFiniteLoss: a loss is NaN or infinite; it is noticed at most `step_log.LAG` steps later, and before any `save`.
        PauseRequested: the machines are about to be reclaimed; the progress was saved.
    """
    world, steps = context.world, context.loader.steps
    phase.model.train()
    reporter = _StepReporter(context, progress, phase)
    log = StepLog(context.experiment.name, world, context.device, progress, reporter.report)
    saved, rates, requested = time.monotonic(), dict[str, float](), Requests()
    batches = moved(_step_batches(context, progress), context.device)
    for step, batch in enumerate(batches, start=progress.step):
        rates = _begin(context, phase, progress.epoch, step)
        requested = log.add(
            step, batch.count, rates, _checked_step(context, phase, batch, step, log), _requests(context, saved)
        )
        if (requested.save or requested.pause) and step + 1 < steps:
            requested |= log.flush()
            save(log.progress)
            saved = time.monotonic()
            if requested.pause:
                raise PauseRequested
        world.status.begin(f"reading the batch after epoch {progress.epoch + 1}, step {step + 1}")
    requested |= log.flush()
    return EpochDone(log.progress, rates, requested.pause)


def _step_batches(context: TrainContext, progress: Progress) -> Iterator[StepBatch]:
    """Yield the rest of the epoch in micro-batches, with the normalizers of their targets while these are on the host."""
    for batch, count in context.loader.epoch(progress.epoch, progress.step):
        parts = batch.split(min(context.experiment.train.accumulate, len(batch)))
        normalizers = [context.objective.normalizer(part.targets) for part in parts]
        counted = [number for number in normalizers if number is not None]
        yield StepBatch(tuple(parts), count, sum(counted) if counted else None)


def _begin(context: TrainContext, phase: Phase, epoch: int, step: int) -> dict[str, float]:
    """Seed a step, set its learning rates, and return them."""
    train, world, steps = context.experiment.train, context.world, context.loader.steps
    _seed_step(train.seed, epoch, step, world.rank)
    if context.objective.needs_answers:
        _share_statistics(context, phase)
    place = f"epoch {epoch + 1}, step {step + 1}"
    world.status.begin(f"forward, backward and the all_reduce of gradients of {place}", in_collective=world.size > 1)
    return phase.set_rates(context.experiment, step=epoch * steps + step, total=train.epochs * steps, steps=steps)


def _share_statistics(context: TrainContext, phase: Phase) -> None:
    """Give every rank the BatchNorm statistics of rank 0, which a checkpoint holds: answers depend on them, and a resumed run
    must give the same."""
    moving = phase.moving_buffers()
    shadow = context.average.shadow if context.average is not None else {}
    broadcast_statistics(context.world, [*moving.values(), *(shadow[name] for name in moving if shadow)])


def _checked_step(context: TrainContext, phase: Phase, batch: StepBatch, step: int, log: StepLog) -> Tensor:
    """Run `_step`. If it fails because an earlier loss, not read yet, was not finite, raise that."""
    try:
        return _step(context, phase, batch, _StepNetwork(context, phase, batch.count, log.progress.epoch, step))
    except Exception:
        with contextlib.suppress(RuntimeError):  # the failure of the step says more than that of the collective
            log.flush()
        raise


def _step(context: TrainContext, phase: Phase, batch: StepBatch, network: _StepNetwork) -> Tensor:
    """Run one optimizer step; return this rank's part of the loss of the global batch, times its count: `()`."""
    optim, size = context.experiment.optim, context.world.size
    normalizer = Normalizer(context.world, context.device, batch)
    summed = torch.zeros((), device=context.device)
    for index, part in enumerate(batch.parts):
        last = index == len(batch.parts) - 1
        with torch.enable_grad() if last else phase.without_sync():
            loss = context.objective.step(network, {LABELLED: part, **part.beside})
            # DDP averages over ranks; scale to the sum over all ranks, divided by the normalizer of the global batch.
            context.scaler.scale(_scaled(loss, normalizer, size)).backward()
        summed += _scaled(loss, normalizer, batch.count).detach()
    if context.objective.state is not None:
        average_gradients(context.world, list(context.objective.state.parameters()), "the objective's gradients")
    context.scaler.unscale_(phase.optimizer)
    if optim.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(phase.parameters(), optim.clip_norm)
    context.scaler.step(phase.optimizer)
    context.scaler.update()
    phase.optimizer.zero_grad(set_to_none=True)
    if context.average is not None:
        context.average.update(phase.tracked_tensors())
    context.objective.end_step(context.world, context.device)
    return summed


def _scaled(loss: LossSum, normalizer: Normalizer, factor: int) -> Tensor:
    """Return the part of the loss of the global batch, times `factor`."""
    labelled = loss.labelled * normalizer.factor(factor)
    return labelled if loss.beside is None else labelled + loss.beside * factor


@dataclass(frozen=True, slots=True)
class _StepNetwork:
    """The network of a phase in one step (`raytl.training.objectives.objective.Network`)."""

    context: TrainContext
    phase: Phase
    count: int
    epoch: int
    step: int

    @property
    def progress(self) -> float:
        steps = self.context.loader.steps
        return (self.epoch * steps + self.step) / (self.context.experiment.train.epochs * steps)

    def inputs(self, batch: Batch) -> Tensor:
        context = self.context
        return to_input(batch.images, context.preprocess, context.device, context.channels_last)

    def __call__(self, *values: Any) -> Any:
        with self._autocast():
            return self.phase.model(*values)

    @torch.no_grad()
    def answers(self, inputs: Tensor) -> Tensor:
        module, average = self.phase.module, self.context.average
        with average.swapped_in(module) if average is not None else contextlib.nullcontext():
            module.eval()
            with self._autocast():
                logits: Tensor = module(inputs)
            module.train()
        return logits.float()

    def _autocast(self) -> torch.autocast:
        precision = self.context.precision
        return torch.autocast(self.context.device.type, precision, enabled=precision != torch.float32)


def _requests(context: TrainContext, saved: float) -> Requests:
    """Return what this rank asks for: rank 0 a checkpoint if one is due, and each rank to pause if the driver wants it."""
    due = context.world.is_main and time.monotonic() - saved >= context.experiment.train.checkpoint_every_s
    return Requests(due, context.world.status.pause_requested)


def _seed_step(seed: int, epoch: int, step: int, rank: int) -> None:
    """Seed dropout and mixing by epoch, step and rank alone, so that a resumed run draws the same numbers."""
    torch.manual_seed(hash((seed, epoch, step, rank)) & _MAX_SEED)


class _StepReporter:
    """Emit step events of one epoch from the main rank, at most one every `EVENT_EVERY_S`, and the last."""

    def __init__(self, context: TrainContext, progress: Progress, phase: Phase) -> None:
        self._context, self._stage, self._throttle = context, phase.stage.name, Throttle(EVENT_EVERY_S)
        self._seen, self._started = progress.seen, time.monotonic()

    def report(self, done: StepDone) -> None:
        context, loader, progress = self._context, self._context.loader, done.progress
        is_last = progress.step >= loader.steps
        if not context.world.is_main or not (self._throttle.is_due() or is_last):
            return
        context.emit(
            Step(
                epoch=progress.epoch + 1,
                epochs=context.experiment.train.epochs,
                step=progress.step,
                steps=loader.steps,
                loss=done.loss,
                images_per_s=(progress.seen - self._seen) / max(time.monotonic() - self._started, 1e-9),
                rates=done.rates,
                stage=self._stage,
                ready=loader.ready if isinstance(loader, TrainLoader) else None,
            )
        )
