"""The contract of a task. Everything outside `raytl.tasks` speaks of `Task`, and never of one task.

A sample passes through a task in this order: `classes`, `encoder` and `augment` (data), `build`, `objective` and `predict`
(network), `evidence` and `validation` (scores), and then `Reporting`, for evaluation, predictions and the gate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.config.schema import AugmentConfig, Experiment, ModelConfig
from raytl.data.encoder import Augment, Encoder, FileAccess
from raytl.data.manifest import Sample
from raytl.data.transforms import Preprocess
from raytl.events import OnEvent
from raytl.models.backbone import Backbone
from raytl.models.frozen import FrozenFit
from raytl.store.s3_settings import S3Settings
from raytl.tasks.objects import Limits
from raytl.tasks.recipe import AutoRecipe
from raytl.tasks.reporting import Reporting

if TYPE_CHECKING:
    from raytl.tasks.explaining import Explaining
    from raytl.tasks.exporting import Exporting
    from raytl.tasks.findings import FindingKind

__all__ = [
    "Augment",
    "Confusion",
    "Decisions",
    "Encoder",
    "FileAccess",
    "HeadSolver",
    "Objective",
    "Rows",
    "Task",
    "Validation",
]

Rows = tuple[NDArray[Any], ...]
"""Arrays whose first dimension is the samples; what is kept of each sample, and gathered over the workers by its id. Types
that numpy loads without pickle; ragged content is padded, or bytes of type `S`."""

Decisions = Callable[[Sequence[Any], Rows], tuple[NDArray[np.int64], NDArray[Any]]]
"""From truths and rows to the true class of each decision that is scored, `(m,)`, and its logits, `(m, k)`."""


class Objective(Protocol):
    """The loss of a task on one part of a batch."""

    def normalizer(self, targets: Any) -> float | None:
        """Return the number that the summed loss of these targets is divided by, from the targets alone; None = their count.

        The numbers of all workers and micro-batches of a step are added, so that the division of a batch does not change
        its loss.
        """
        ...

    def __call__(self, forward: Callable[..., Any], inputs: Tensor, targets: Any, ids: Tensor) -> Tensor:
        """Run the network on normalized `inputs (b, 3, h, w)` and return its loss, summed over the samples: `()`.

        `forward(inputs, ...)` calls the network under autocast; the loss itself is computed outside of it. With a feature
        cache, `inputs` are activations, so sizes come from the outputs. `targets` are moved to the device of the inputs
        here. Random numbers come from torch's global generator, which is seeded by epoch, step and rank, or, if a value must
        not depend on the number of workers, from `ids`.
        """
        ...


class HeadSolver(Protocol):
    """Solve a new head on the features of the frozen network, for `transfer.head_start: solved` and for sweeps."""

    @property
    def targets_of(self) -> Callable[[Sequence[Sample], Sequence[str]], NDArray[np.int64]] | None:
        """Return what gives the class index of each sample, `(n,)`; None if a sample has no single class."""
        ...

    def solve(
        self,
        experiment: Experiment,
        backbone: Backbone,
        train: Sequence[Sample],
        val: Sequence[Sample],
        classes: Sequence[str],
        on_event: OnEvent,
    ) -> Any:
        """Return the head of `backbone`, which is on its device, solved on `train`; `val` selects its regularization."""
        ...

    def measure(
        self,
        experiment: Experiment,
        backbone: Backbone,
        train: Sequence[Sample],
        classes: Sequence[str],
        on_event: OnEvent,
    ) -> FrozenFit | None:
        """Return how well the frozen features separate a sample of `train`; None if there are too few images to tell.

        `backbone` is unchanged.
        """
        ...

    def features(
        self, experiment: Experiment, backbone: Backbone, samples: Sequence[Sample], on_event: OnEvent, title: str
    ) -> Tensor:
        """Return the inputs of the head for `samples`, `(n, d) float32`; `title` is that of the progress.

        Where tensors of `backbone` lie in memory may change, their values do not.
        """
        ...

    def scores(self, solved: Any) -> Mapping[str, float]:
        """Return its scores on val, with keys `val/...`."""
        ...

    def save(self, solved: Any, folder: Path) -> None:
        """Write it to `folder` atomically."""
        ...

    def load(self, folder: Path) -> Any:
        """Return the head that `save` wrote.

        Raises:
            RunError: it is missing or unreadable.
        """
        ...

    def is_saved(self, folder: Path) -> bool:
        """Return True if `save` completed in `folder`."""
        ...

    def install(self, backbone: Backbone, solved: Any, depth: int) -> None:
        """Copy it into the network, to fine-tune the top `depth` stages."""
        ...


@dataclass(frozen=True)
class Confusion:
    """Counts `(n, n)`, true by predicted, with the names of the rows: classes, and what else a task can confuse them with."""

    names: tuple[str, ...]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Validation:
    """Scores with keys `val/...`, and the confusion of classes.

    `buffers` are values for buffers of the network by the last part of their names: what it decides with but does not learn,
    such as thresholds. They are set in the network that is saved. `temperature` is that of its answers, with which the
    metrics are computed; None if they are not calibrated. `predict_score` is the lowest score of the objects that the model
    reports, chosen here; None if the task does not find objects.
    """

    metrics: dict[str, float]
    confusion: Confusion
    buffers: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    temperature: float | None = None
    predict_score: float | None = None


class Task(Protocol):
    """One task: a value, or an object without state."""

    @property
    def name(self) -> str:
        """Return its key in experiments and model cards."""
        ...

    @property
    def target_types(self) -> tuple[type, ...]:
        """Return the types of `Sample.target` that it learns, its own first."""
        ...

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the metrics of a validation, without `val/`, the most important first.

        The name of one of which lower values are better ends in `loss` or `error`.
        """
        ...

    @property
    def tie_breaker(self) -> str:
        """Return the metric that decides between equal values of the one that selects the best epoch."""
        ...

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Return values by dotted key that replace those of the experiment's schema where the user sets nothing."""
        ...

    @property
    def recipe(self) -> AutoRecipe:
        """Return what `recipe: auto` chooses; for its keys, `defaults` count only with `recipe: none`."""
        ...

    @property
    def head_solver(self) -> HeadSolver | None:
        """Return what solves a new head, None if the head has no closed form."""
        ...

    @property
    def calibration(self) -> Decisions | None:
        """Return what its answers decide, to calibrate them by one temperature; None if they are not probabilities.

        The logits, which the temperature divides, are the first of its `Rows`.
        """
        ...

    @property
    def sections(self) -> tuple[str, ...]:
        """Return the names of the sections of `raytl report` that apply to its answers; none if it has no such report.

        A task with sections has `findings`, or it decides one class for each image, and the logits are the first of its
        `Rows`, `(n, classes)`. `raytl evaluate` stores either with the features of the images.
        """
        ...

    @property
    def findings(self) -> FindingKind | None:
        """Return what turns its answers into findings for `raytl report`, None if it decides one class for each image."""
        ...

    @property
    def explaining(self) -> Explaining | None:
        """Return what explains its answers by maps over the image, None if nothing does."""
        ...

    @property
    def exporting(self) -> Exporting | None:
        """Return what makes a graph of its networks for other runtimes, None if they cannot be exported."""
        ...

    @property
    def limits(self) -> Limits | None:
        """Return the limits of answers that are scored, None if the task does not find objects."""
        ...

    @property
    def reporting(self) -> Reporting:
        """Return what the task says after training."""
        ...

    def classes(self, samples: Sequence[Sample], /) -> tuple[str, ...]:
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

    def encoder(
        self, samples: Sequence[Sample], classes: Sequence[str], preprocess: Preprocess, files: FileAccess, /
    ) -> Encoder:
        """Return the targets of `samples`; `files` says how to read what is in files of its own."""
        ...

    def sampling_weights(self, samples: Sequence[Sample], classes: Sequence[str]) -> NDArray[np.float64]:
        """Return a weight per sample, `(n,)`, with which all classes are drawn equally often, for `train.sampler: balanced`."""
        ...

    def blank_targets(self, classes: Sequence[str], count: int, size: tuple[int, int], /) -> Any:
        """Return collated targets for `count` blank images of (height, width), to try a training step without data."""
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

    def start_head(self, backbone: Backbone, classes: Sequence[str], train: Sequence[Sample]) -> None:
        """Initialize what a new head can know from the training targets alone, for `transfer.head_start: zero`."""
        ...

    def inherit_head(self, backbone: Backbone, source: str, classes: Sequence[str], s3: S3Settings) -> tuple[str, ...]:
        """Copy the head of the saved model at `source` where classes are the same; return the classes that are new to it.

        Raises:
            ModelError: there is no saved model of this task at `source`, or its head has another shape.
        """
        ...

    def objective(self, experiment: Experiment, classes: Sequence[str], train: Sequence[Sample]) -> Objective:
        """Return the loss of `experiment`."""
        ...

    def predict(
        self,
        module: nn.Module,
        inputs: Tensor,
        sizes: Sequence[tuple[int, int]],
        preprocess: Preprocess,
        limits: Limits,
        /,
    ) -> list[Any]:
        """Return the answer of the module (in evaluation mode) for each of the normalized `inputs`.

        `sizes` are the (width, height) of the upright original images; answers are in their pixels. Tasks that find objects
        report those within `limits`. Call it under autocast and without gradients.
        """
        ...

    def evidence(self, answers: Sequence[Any], truths: Sequence[Any], /) -> Rows:
        """Return what the scores need of each sample. `truths` come from `Encoder.truth`."""
        ...

    def validation(self, truths: Sequence[Any], rows: Rows, classes: Sequence[str], /) -> Validation:
        """Return the scores over the whole split, quickly, for each epoch; no intervals."""
        ...
