"""One epoch of training steps: batches in, gradients agreed over the ranks, weights moved."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from raytl.config.schema import Experiment
from raytl.data.loader import Batch, TrainLoader
from raytl.data.mix import Mix
from raytl.data.transforms import Preprocess
from raytl.errors import NonFiniteLoss
from raytl.events import OnEvent, Step
from raytl.models.forward import to_input
from raytl.tasks.classification import Loss
from raytl.training.agree import total
from raytl.training.average import WeightAverage
from raytl.training.checkpoint import Progress
from raytl.training.phase import Phase
from raytl.world import World

EVENT_EVERY_S = 0.5
"""The least time between two events of steps of one epoch, apart from its last."""
_MAX_SEED = 2**63 - 1


class PauseRequested(Exception):
    """Every rank leaves the loop here, after the step of which a checkpoint was stored."""


class TrainBatches(Protocol):
    """What the loop trains on: a rank's batches, epoch by epoch, each with the size of its global batch."""

    steps: int

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Batch, int]]:
        """The batches of `epoch` from `start_step` on."""
        ...

    def close(self) -> None:
        """Ends what makes them."""
        ...


@dataclass(frozen=True)
class TrainContext:
    """What stays the same from the first step of a run to its last."""

    experiment: Experiment
    world: World
    device: torch.device
    precision: torch.dtype
    channels_last: bool
    preprocess: Preprocess
    loader: TrainBatches
    loss: Loss
    mix: Mix | None
    average: WeightAverage | None
    scaler: torch.amp.GradScaler
    emit: OnEvent


def train_epoch(
    context: TrainContext, phase: Phase, progress: Progress, save: Callable[[Progress], None]
) -> tuple[Progress, dict[str, float]]:
    """Run the rest of the epoch that `progress` stands in; the progress at its end, and the last rates.

    `save` is called with the progress every `train.checkpoint_every_s`, on all ranks at the same step.

    Raises:
        NonFiniteLoss: a loss is NaN or infinite.
        PauseAsked: the machines are wanted back; the progress was saved.
    """
    train, loader, status = context.experiment.train, context.loader, context.world.status
    phase.model.train()
    clock, started = _Clock(context, progress), time.monotonic()
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
        clock.tell(progress, loss / count, rates, phase)
        if (wants_save or pause) and step + 1 < loader.steps:
            save(progress)
            saved = time.monotonic()
            if pause:
                raise PauseRequested
        status.begin(f"reading the batch after {place}")
    return progress, rates


def _step(context: TrainContext, phase: Phase, batch: Batch, count: int) -> Tensor:
    """One optimizer step; the summed loss of this rank's part of the batch, `()`."""
    train, optim = context.experiment.train, context.experiment.optim
    micro = list(_micro_batches(batch, train.accumulate))
    summed = torch.zeros((), device=context.device)
    for index, (images, targets) in enumerate(micro):
        last = index == len(micro) - 1
        with torch.enable_grad() if last else phase.without_sync():
            loss = _loss(context, phase, images, targets)
            # DDP averages over ranks; the sum over all ranks, divided by the global batch, is what is wanted.
            context.scaler.scale(loss * (context.world.size / count)).backward()
        summed += loss.detach()
    context.scaler.unscale_(phase.optimizer)
    if optim.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(phase.parameters(), optim.clip_norm)
    context.scaler.step(phase.optimizer)
    context.scaler.update()
    phase.optimizer.zero_grad(set_to_none=True)
    if context.average is not None:
        context.average.update(phase.followed())
    return summed


def _loss(context: TrainContext, phase: Phase, images: Tensor, targets: Tensor) -> Tensor:
    inputs = to_input(images, context.preprocess, context.device, context.channels_last)
    targets = targets.to(context.device, non_blocking=True)
    if context.mix is not None:
        inputs, targets = context.mix(inputs, targets)
    with torch.autocast(context.device.type, context.precision, enabled=context.precision != torch.float32):
        logits = phase.model(inputs)
    return context.loss(logits, targets).sum()


def _micro_batches(batch: Batch, accumulate: int) -> list[tuple[Tensor, Tensor]]:
    pieces = min(accumulate, len(batch.targets))
    return list(zip(batch.images.tensor_split(pieces), batch.targets.tensor_split(pieces), strict=True))


def _agree(context: TrainContext, loss: Tensor, saved: float, place: str) -> tuple[float, bool, bool]:
    """(summed loss of the global batch, whether rank 0's clock asks for a checkpoint, whether a pause is asked for)."""
    due = context.world.is_main and time.monotonic() - saved >= context.experiment.train.checkpoint_every_s
    mine = [float(loss), float(due), float(context.world.status.pause_requested)]
    summed, wanted, pause = total(context.world, mine, context.device, f"the loss of {place}")
    return summed, wanted > 0, pause > 0


def _seed_step(seed: int, epoch: int, step: int, rank: int) -> None:
    """Dropout and mixing draw from a generator that depends on the place alone, so a resumed run draws the same."""
    torch.manual_seed(hash((seed, epoch, step, rank)) & _MAX_SEED)


def _non_finite(experiment: Experiment, epoch: int, step: int, loss: float, rates: dict[str, float]) -> NonFiniteLoss:
    shown = ", ".join(f"{name} {rate:.2g}" for name, rate in rates.items())
    return NonFiniteLoss(
        f"{experiment.name}: the loss became {loss} in epoch {epoch + 1}, step {step + 1} (rates: {shown}).\n"
        "  Lower optim.lr or raise transfer.head_lr_ratio; also try optim.clip_norm, a longer optim.warmup, "
        "or train.precision: fp32."
    )


class _Clock:
    """Tells the watcher of steps, a few times a second, from the leading rank."""

    def __init__(self, context: TrainContext, progress: Progress) -> None:
        self._setting = context
        self._told = 0.0
        self._seen, self._at = progress.seen, time.monotonic()

    def tell(self, progress: Progress, loss: float, rates: dict[str, float], phase: Phase) -> None:
        now, loader = time.monotonic(), self._setting.loader
        steps = loader.steps
        if not self._setting.world.is_main or (now - self._told < EVENT_EVERY_S and progress.step < steps):
            return
        self._told = now
        self._setting.emit(
            Step(
                epoch=progress.epoch + 1,
                epochs=self._setting.experiment.train.epochs,
                step=progress.step,
                steps=steps,
                loss=loss,
                images_per_s=(progress.seen - self._seen) / max(now - self._at, 1e-9),
                rates=rates,
                stage=phase.stage.name,
                ready=loader.ready if isinstance(loader, TrainLoader) else None,
            )
        )
