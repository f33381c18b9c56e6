"""The contract of a task. Everything outside `raytl.tasks` speaks of `Task`, and never of one task.

A sample passes through a task in this order: `classes`, `encoder` and `augment` (data), `build`, `objective` and `predict`
(network), `evidence` and `validation` (scores), and then `Reporting`, for evaluation, predictions and the gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.config.schema import AugmentConfig, Experiment, ModelConfig
from raytl.data.encoder import Augment, Encoder
from raytl.data.manifest import Sample
from raytl.data.transforms import Preprocess
from raytl.models.backbone import Backbone
from raytl.store.s3_settings import S3Settings

__all__ = ["Augment", "Confusion", "Encoder", "Objective", "Rows", "Task", "Validation", "device_of"]

Rows = tuple[NDArray[Any], ...]
"""Arrays whose first dimension is the samples; what is kept of each sample, and gathered over the workers by its id. Types
that numpy loads without pickle; ragged content is padded, or bytes of type `S`."""


class Objective(Protocol):
    """The loss of a task on one part of a batch."""

    def normalizer(self, targets: Any) -> float | None:
        """Return the number that the summed loss of these targets is divided by, from the targets alone; None = their count.

        The numbers of all workers and micro-batches of a step are added, so that the division of a batch does not change
        its loss.
        """
        ...

    def __call__(self, model: nn.Module, inputs: Tensor, targets: Any, ids: Tensor) -> Tensor:
        """Run `model` on normalized `inputs (b, 3, h, w)` and return its loss, summed over the samples: `()`.

        Called under autocast. Random numbers come from torch's global generator, which is seeded by epoch, step and rank,
        or, for a value that must not depend on the number of workers, from `ids`.
        """
        ...


@dataclass(frozen=True)
class Confusion:
    """Counts `(n, n)`, true by predicted, with the names of the rows: classes, and what else a task can confuse them with."""

    names: tuple[str, ...]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Validation:
    """Scores with keys `val/...`, and the confusion of classes."""

    metrics: dict[str, float]
    confusion: Confusion


class Task(Protocol):
    """One task. `name` is its key in experiments and model cards.

    `directions` has every metric of a validation, without `val/`, the most important first, and which value is better.
    `tie_breaker` decides between equal values of the metric that selects the best epoch.
    """

    name: str
    directions: Mapping[str, Literal["max", "min"]]
    tie_breaker: str

    def classes(self, samples: Sequence[Sample]) -> tuple[str, ...]:
        """Return the names of the outputs in order.

        Raises:
            DataError: targets are not of this task, or too few to learn from.
        """
        ...

    def check(self, experiment: Experiment) -> None:
        """Reject options that this task cannot apply, all at once.

        Raises:
            ConfigError: with every such key, what was found and what to do.
        """
        ...

    def encoder(self, samples: Sequence[Sample], classes: Sequence[str], preprocess: Preprocess) -> Encoder:
        """Return the targets of `samples`."""
        ...

    def augment(self, config: AugmentConfig, preprocess: Preprocess) -> Augment:
        """Return the training views."""
        ...

    def preprocess(self, config: ModelConfig, s3: S3Settings) -> Preprocess:
        """Return the preprocessing of the network of `config`, without building it."""
        ...

    def build(self, config: ModelConfig, classes: Sequence[str], s3: S3Settings) -> Backbone:
        """Return the network: a backbone of stages, and a neck and head that are new."""
        ...

    def objective(self, experiment: Experiment, classes: Sequence[str], train: Sequence[Sample]) -> Objective:
        """Return the loss of `experiment`."""
        ...

    def predict(self, module: nn.Module, inputs: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Any]:
        """Return the answer of the module (in evaluation mode) for each of the normalized `inputs`.

        `sizes` are the (width, height) of the upright original images; answers are in their pixels. Call it under autocast
        and without gradients.
        """
        ...

    def evidence(self, answers: Sequence[Any], truths: Sequence[Any]) -> Rows:
        """Return what the scores need of each sample. `truths` come from `Encoder.truth`."""
        ...

    def validation(self, truths: Sequence[Any], rows: Rows, classes: Sequence[str]) -> Validation:
        """Return the scores over the whole split, quickly, for each epoch; no intervals."""
        ...


def device_of(module: nn.Module) -> torch.device:
    """Return the device of the parameters of `module`."""
    return next(module.parameters()).device
