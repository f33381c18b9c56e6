"""One epoch of training steps: read batches, reduce gradients over the ranks, update weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from raytl.config.schema import Experiment
from raytl.data.loader import Batch, TrainLoader
from raytl.data.transforms import Preprocess
from raytl.errors import NonFiniteLoss
from raytl.events import OnEvent, Step
from raytl.models.forward import to_input
from raytl.tasks.task import Objective
from raytl.throttle import Throttle
from raytl.training.average import WeightAverage
from raytl.training.checkpoint import Progress
from raytl.training.collectives import sum_over_ranks
from raytl.training.phase import Phase
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
    objective: Objective
    average: WeightAverage | None
    scaler: torch.amp.GradScaler
    emit: OnEvent


def train_epoch(
    context: TrainContext, phase: Phase, progress: Progress, save: Callable[[Progress], None]
) -> tuple[Progress, dict[str, float]]:
    """Run the rest of the current epoch; return the progress at its end and the last learning rates.

    `save` is called with the progress every `train.checkpoint_every_s`, on all ranks at the same step.

    Raises:
        NonFiniteLoss: a loss is NaN or infinite.
        PauseRequested: the machines are about to be reclaimed; the progress was saved.
    """
    train, loader, status = context.experiment.train, context.loader, context.world.status
    phase.model.train()
    reporter, started = _StepReporter(context, progress), time.monotonic()
    before, saved, rates = progress.seconds, started, {}
    for step, (batch, count) in enumerate(loader.epoch(progress.epoch, progress.step), start=progress.step):
        _seed_step(train.seed, progress.epoch, step, context.world.rank)
        rates = phase.set_rates(
            context.experiment,
            step=progress.epoch * loader.steps + step,
            total=train.epochs * loader.steps,
            steps=loader.steps,
        )
        place = f"epoch {progress.epoch + 1}, step {step + 1}"
        activity = f"forward, backward and the all_reduce of gradients of {place}"
        status.begin(activity, in_collective=context.world.size > 1)
        loss, wants_save, pause = _agree(context, _step(context, phase, batch, count), saved, place)
        if not math.isfinite(loss):
            raise _non_finite(context.experiment, progress.epoch, step, loss, rates)
        progress = replace(
            progress,
            step=step + 1,
            loss_sum=progress.loss_sum + loss,
            seen=progress.seen + count,
            seconds=before + time.monotonic() - started,
        )
        reporter.report(progress, loss / count, rates, phase)
        if (wants_save or pause) and step + 1 < loader.steps:
            save(progress)
            saved = time.monotonic()
            if pause:
                raise PauseRequested
        status.begin(f"reading the batch after {place}")
    return progress, rates


def _step(context: TrainContext, phase: Phase, batch: Batch, count: int) -> Tensor:
    """Run one optimizer step; return this rank's part of the loss of the global batch, times `count`: `()`."""
    train, optim = context.experiment.train, context.experiment.optim
    micro = _micro_batches(batch, train.accumulate)
    total = _normalizer(context, micro, count)
    summed = torch.zeros((), device=context.device)
    for index, part in enumerate(micro):
        last = index == len(micro) - 1
        with torch.enable_grad() if last else phase.without_sync():
            loss = _loss(context, phase, part)
            # DDP averages over ranks; scale to the sum over all ranks, divided by the normalizer of the global batch.
            context.scaler.scale(loss * (context.world.size / total)).backward()
        summed += loss.detach() if total == count else loss.detach() * (count / total)
    context.scaler.unscale_(phase.optimizer)
    if optim.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(phase.parameters(), optim.clip_norm)
    context.scaler.step(phase.optimizer)
    context.scaler.update()
    phase.optimizer.zero_grad(set_to_none=True)
    if context.average is not None:
        context.average.update(phase.tracked_tensors())
    return summed


def _normalizer(context: TrainContext, micro: Sequence[Batch], count: int) -> float:
    """Return the number that the loss of the global batch is divided by, the same on all ranks."""
    parts = [context.objective.normalizer(part.targets) for part in micro]
    numbers = [part for part in parts if part is not None]
    if not numbers:
        return count
    (total,) = sum_over_ranks(context.world, [sum(numbers)], context.device, "the normalizer of the loss")
    return max(1.0, total)


def _loss(context: TrainContext, phase: Phase, batch: Batch) -> Tensor:
    inputs = to_input(batch.images, context.preprocess, context.device, context.channels_last)

    def forward(*values: Any) -> Any:
        with torch.autocast(context.device.type, context.precision, enabled=context.precision != torch.float32):
            return phase.model(*values)

    return context.objective(forward, inputs, batch.targets, batch.ids)


def _micro_batches(batch: Batch, accumulate: int) -> list[Batch]:
    return batch.split(min(accumulate, len(batch)))


def _agree(context: TrainContext, loss: Tensor, saved: float, place: str) -> tuple[float, bool, bool]:
    """Return (summed loss of the global batch, True if a checkpoint is due on rank 0, True if a pause is requested)."""
    due = context.world.is_main and time.monotonic() - saved >= context.experiment.train.checkpoint_every_s
    mine = [float(loss), float(due), float(context.world.status.pause_requested)]
    summed, wanted, pause = sum_over_ranks(context.world, mine, context.device, f"the loss of {place}")
    return summed, wanted > 0, pause > 0


def _seed_step(seed: int, epoch: int, step: int, rank: int) -> None:
    """Seed dropout and mixing by epoch, step and rank alone, so that a resumed run draws the same numbers."""
    torch.manual_seed(hash((seed, epoch, step, rank)) & _MAX_SEED)


def _non_finite(experiment: Experiment, epoch: int, step: int, loss: float, rates: dict[str, float]) -> NonFiniteLoss:
    rates_text = ", ".join(f"{name} {rate:.2g}" for name, rate in rates.items())
    return NonFiniteLoss(
        f"{experiment.name}: the loss became {loss} in epoch {epoch + 1}, step {step + 1} (rates: {rates_text}).\n"
        "  Lower optim.lr or raise transfer.head_lr_ratio; also try optim.clip_norm, a longer optim.warmup, "
        "or train.precision: fp32."
    )


class _StepReporter:
    """Emit step events of one epoch from the main rank, at most one every `EVENT_EVERY_S`, and the last."""

    def __init__(self, context: TrainContext, progress: Progress) -> None:
        self._context, self._throttle = context, Throttle(EVENT_EVERY_S)
        self._seen, self._started = progress.seen, time.monotonic()

    def report(self, progress: Progress, loss: float, rates: dict[str, float], phase: Phase) -> None:
        context, loader = self._context, self._context.loader
        is_last = progress.step >= loader.steps
        if not context.world.is_main or not (self._throttle.is_due() or is_last):
            return
        context.emit(
            Step(
                epoch=progress.epoch + 1,
                epochs=context.experiment.train.epochs,
                step=progress.step,
                steps=loader.steps,
                loss=loss,
                images_per_s=(progress.seen - self._seen) / max(time.monotonic() - self._started, 1e-9),
                rates=rates,
                stage=phase.stage.name,
                ready=loader.ready if isinstance(loader, TrainLoader) else None,
            )
        )
