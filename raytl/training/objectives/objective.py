"""The contract of the objective of a training step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.data.loader import Batch
from raytl.models.forward import BatchLike
from raytl.tasks.inference import Network as Inference
from raytl.world import World

LABELLED = "labelled"
"""The name of the labelled images among the batches of a step."""


@dataclass(frozen=True, slots=True)
class LossSum:
    """The loss of a micro-batch: `labelled ()` is summed over its labelled images, and divided by the normalizer of the
    global batch; `beside ()` is its part of means over the images of other sources in the global batch."""

    labelled: Tensor
    beside: Tensor | None = None


class Network(Protocol):
    """The network in a step."""

    @property
    def progress(self) -> float:
        """Return the fraction of training that is done."""
        ...

    @property
    def epoch(self) -> int:
        """Return the epoch, counted from 0."""
        ...

    @property
    def count(self) -> int:
        """Return the number of labelled images in the global batch."""
        ...

    def inputs(self, batch: Batch) -> Tensor:
        """Return the normalized images of a batch on the device."""
        ...

    def __call__(self, *values: Any) -> Any:
        """Run the network in training mode, under autocast."""
        ...

    def answers(self, inputs: Tensor) -> Tensor:
        """Return the logits of the weights that validation scores, in evaluation mode and without gradients, as float32."""
        ...


class Validated(Protocol):
    """Answers of an objective's own, scored on the validation split beside those of the task."""

    def answers(self, network: Inference, batch: BatchLike) -> NDArray[np.int64]:
        """Return those for the batch that this thread has just passed through `network`, `(b, k)`."""
        ...

    def scores(self, answers: NDArray[np.int64]) -> dict[str, float]:
        """Return the scores of the answers for the whole split, in the order of its samples."""
        ...


class StepObjective(Protocol):
    """The loss that a step minimizes. It may own a module, whose parameters learn and whose state is part of the checkpoint."""

    @property
    def state(self) -> nn.Module | None:
        """Return what it owns, the same on all ranks; None if nothing."""
        ...

    @property
    def validated(self) -> Validated | None:
        """Return what is scored on the validation split beside the task; None if nothing."""
        ...

    @property
    def needs_answers(self) -> bool:
        """Return whether its steps ask for `Network.answers`."""
        ...

    @property
    def records(self) -> Mapping[str, float]:
        """Return the numbers that it adds to the record of the epoch, the same on all ranks."""
        ...

    def normalizer(self, targets: Any) -> float | None:
        """Return the normalizer of the labelled images (see `raytl.tasks.task.Objective`)."""
        ...

    def step(self, network: Network, batches: Mapping[str, Batch]) -> LossSum:
        """Return the loss of a micro-batch; `batches` are those of each source or view, by name."""
        ...

    def end_step(self, world: World, device: torch.device) -> None:
        """Update what it owns after the optimizer's step, the same on all ranks."""
        ...
