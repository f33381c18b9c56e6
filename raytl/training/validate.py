"""Score each image of the validation split exactly once, on any number of workers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from raytl.data.loader import Batch
from raytl.metrics.confusion import confusion_matrix
from raytl.metrics.gather import gather_rows
from raytl.metrics.scores import scores
from raytl.models.parallel import ordered_logits
from raytl.training.collectives import broadcast_from_main
from raytl.training.phase import Phase
from raytl.training.steps import TrainContext


class EvalBatches(Protocol):
    """The whole batches of the split that this rank scores; their number is fixed."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class Validation:
    """Scores with keys `val/...`, and the confusion matrix `(classes, classes)`, true by predicted."""

    metrics: dict[str, float]
    confusion: NDArray[np.int64]


def validate(
    context: TrainContext, phase: Phase, loader: EvalBatches, targets: NDArray[np.int64], classes: int
) -> Validation:
    """Score the evaluated weights (the average, if enabled), with the same result on every rank.

    `targets (n,)` are those of the whole split.
    """
    average, moving = context.average, phase.moving_buffers()
    # BatchNorm statistics differ between ranks. Use those of rank 0, not the mean: a checkpoint inside the epoch holds
    # them, so a resumed run ends with the same bits.
    broadcast_from_main(context.world, list(moving.values()))
    if average is not None:
        broadcast_from_main(context.world, [average.shadow[name] for name in moving])
    phase.module.eval()
    with average.swapped_in(phase.module) if average is not None else contextlib.nullcontext():
        batches = context.world.status.track(loader, "scoring batches")
        ids, logits = ordered_logits(phase.module, batches, context.preprocess, context.device, context.precision)
    _, (logits,) = gather_rows(context.world, ids, logits, total=len(targets))
    return Validation(
        metrics={f"val/{name}": value for name, value in scores(targets, logits).items()},
        confusion=confusion_matrix(targets, logits.argmax(axis=1), classes),
    )
