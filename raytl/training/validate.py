"""Score each image of the validation split exactly once, on any number of workers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from torch import nn

from raytl.data.loader import Batch
from raytl.metrics.gather import gather_rows
from raytl.tasks.calibration import validated
from raytl.tasks.inference import Network, Truths, split_rows
from raytl.tasks.task import Encoder, Rows, Task, Validation
from raytl.training.collectives import broadcast_from_main
from raytl.training.objectives.objective import Validated
from raytl.training.phase import Phase
from raytl.training.steps import TrainContext


class EvalBatches(Protocol):
    """The whole batches of the split that this rank scores; their number is fixed."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class ValSplit:
    """The validation split: this rank's `batches`, and the targets of all samples."""

    task: Task
    batches: EvalBatches
    encoder: Encoder
    classes: tuple[str, ...]


def validate(context: TrainContext, phase: Phase, split: ValSplit) -> Validation:
    """Score the evaluated weights (the average, if enabled), with the same result on every rank."""
    average, moving = context.average, phase.moving_buffers()
    # BatchNorm statistics differ between ranks. Use those of rank 0, not the mean: a checkpoint inside the epoch holds
    # them, so a resumed run ends with the same bits.
    broadcast_from_main(context.world, list(moving.values()))
    if average is not None:
        broadcast_from_main(context.world, [average.shadow[name] for name in moving])
    beside = context.objective.validated
    with average.swapped_in(phase.module) if average is not None else contextlib.nullcontext():
        rows = split_answers(context, phase.module, split, beside)
    if beside is None:
        return calibrated(context, rows, split)
    *own, answers = rows
    result = calibrated(context, tuple(own), split)
    return replace(result, metrics=result.metrics | beside.scores(answers))


def calibrated(context: TrainContext, rows: Rows, split: ValSplit, fine_tuned: float = 1.0) -> Validation:
    """Return the scores of `rows`, the answers of a network of which this fraction is fine-tuned; a solved head is not
    smoothed."""
    experiment = context.experiment
    smoothing = fine_tuned * experiment.train.label_smoothing
    return validated(
        split.task,
        experiment.calibrate,
        Truths(split.encoder),
        rows,
        split.classes,
        smoothing,
        experiment.predict.score,
    )


def split_answers(context: TrainContext, module: nn.Module, split: ValSplit, beside: Validated | None = None) -> Rows:
    """Return the rows of the whole split, in the order of its samples, as `module` answers it; the same on every rank. The last
    is of the answers of `beside`, if given."""
    module.eval()
    network = Network(split.task, module, context.preprocess, context.device, context.precision)
    batches = context.world.status.track(split.batches, "scoring batches")
    more = None if beside is None else partial(beside.answers, network)
    ids, rows = split_rows(network, batches, split.encoder, beside=more)
    return gather_rows(context.world, ids, *rows, total=len(split.encoder))[1]
