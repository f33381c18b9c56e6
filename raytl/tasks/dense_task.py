"""Compose a task whose answers have coordinates: detection, segmentation, instance segmentation.

They share the frame of the views, a new neck and head on the pyramid of a backbone, a network that returns its own loss, and
the options that they can apply. A package states what differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.config.choice import Choice
from raytl.config.schema import AugmentConfig, Experiment, ModelConfig
from raytl.data.encoder import Encoder, FileAccess
from raytl.data.manifest import Sample
from raytl.data.scene_augment import SceneAugment
from raytl.data.transforms import Preprocess
from raytl.models.backbone import Backbone
from raytl.store.s3_settings import S3Settings
from raytl.tasks import dense, options
from raytl.tasks.findings import FindingKind
from raytl.tasks.inherit import inherit_dense
from raytl.tasks.objects import Limits
from raytl.tasks.recipe import AutoRecipe, RecipeFacts, epochs_for
from raytl.tasks.reporting import Reporting
from raytl.tasks.task import Rows, Validation

if TYPE_CHECKING:
    from raytl.tasks.explaining import Explaining
    from raytl.tasks.exporting import Exporting

MANY_SCENES = 3000
"""Training images from which epochs are reduced in proportion."""
FEWEST_STEPS = 200
_FEWEST_EPOCHS, _MOST_EPOCHS = 6, 60
Sizes = Sequence[tuple[int, int]]
"""Width and height of each upright original image."""


def defaults(metric: str, *, batch_size: int = 8, epochs: int = 30) -> Mapping[str, Any]:
    """Return the defaults of a dense task: those for small sets (experiments/LOG.md), which select by `metric`."""
    return {
        "train.metric": metric,
        "search.metric": metric,
        "search.linear_probe": False,
        "train.batch_size": batch_size,
        "train.epochs": epochs,
        "train.early_stop": 0,
        "transfer.unfreeze": "all",
        "transfer.lr_decay": 0.8,
        "transfer.head_lr_ratio": 3.0,
        "transfer.head_first": 0,
        "optim.lr": 1e-3,
    }


def scene_epochs(facts: RecipeFacts) -> tuple[Choice, ...]:
    """Return the epochs: enough steps for the smallest sets, and fewer epochs of large ones."""
    epochs, batch = int(facts.defaults["train.epochs"]), int(facts.value("train.batch_size"))
    if facts.train >= MANY_SCENES:
        epochs = max(_FEWEST_EPOCHS, epochs * MANY_SCENES // facts.train)
    epochs = max(epochs, min(_MOST_EPOCHS, epochs_for(FEWEST_STEPS, facts.train, batch)))
    why = f"{facts.train:,} training images, {facts.train * epochs // max(1, min(batch, facts.train)):,} steps."
    return (Choice("train.epochs", epochs, why),)


SCENE_RECIPE = AutoRecipe(frozenset({"train.epochs"}), scene_epochs)


@dataclass(frozen=True)
class DenseObjective:
    """The loss that the network computes itself from targets; `normalizer` is that of `Objective`."""

    normalizer: Callable[[Any], float | None]

    def __call__(self, forward: Callable[..., Any], inputs: Tensor, targets: Any, ids: Tensor) -> Tensor:
        """Return the summed loss of `inputs`."""
        loss: Tensor = forward(inputs, targets.to(inputs.device, non_blocking=True), ids)
        return loss


@dataclass(frozen=True, kw_only=True)
class DenseTask:
    """A task with a dense network. It fulfills `Task`, which documents the fields of the same names.

    `head_of` returns the head of a model's configuration or raises a ConfigError, `network` builds with that head, and
    `normalizer(head, targets)` is what the summed loss of targets is divided by.
    """

    name: str
    target_types: tuple[type, ...]
    metrics: tuple[str, ...]
    tie_breaker: str
    defaults: Mapping[str, Any]
    reporting: Reporting
    limits: Limits | None
    head_of: Callable[[ModelConfig], str]
    network: Callable[[ModelConfig, Sequence[str], S3Settings], Backbone]
    normalizer: Callable[[str, Any], float | None]
    classes: Callable[[Sequence[Sample]], tuple[str, ...]]
    encoder: Callable[[Sequence[Sample], Sequence[str], Preprocess, FileAccess], Encoder]
    blank_targets: Callable[[Sequence[str], int, tuple[int, int]], Any]
    predict: Callable[[nn.Module, Tensor, Sizes, Preprocess, Limits], list[Any]]
    evidence: Callable[[Sequence[Any], Sequence[Any]], Rows]
    validation: Callable[[Sequence[Any], Rows, Sequence[str]], Validation]
    calibration: None = None
    sections: tuple[str, ...] = ()
    findings: FindingKind | None = None
    explaining: Explaining | None = None
    exporting: Exporting | None = None
    recipe: AutoRecipe = SCENE_RECIPE
    head_solver: None = None

    def check(self, experiment: Experiment) -> None:
        """Reject options of tasks with one class an image, and unknown heads."""
        options.check(experiment, options.RULES[self.name])
        self.head_of(experiment.model)

    def sampling_weights(self, samples: Sequence[Sample], classes: Sequence[str]) -> NDArray[np.float64]:
        """Return equal weights: `check` rejects `train.sampler: balanced`."""
        return np.full(len(samples), 1.0 / len(samples))

    def augment(self, config: AugmentConfig, preprocess: Preprocess) -> SceneAugment:
        """Return views of the frame's size, with scale jitter."""
        return SceneAugment(config, preprocess)

    def preprocess(self, config: ModelConfig, s3: S3Settings) -> Preprocess:
        """Return the preprocessing, with images fitted whole into a frame."""
        return dense.preprocess(config, s3)

    def build(self, config: ModelConfig, classes: Sequence[str], s3: S3Settings) -> Backbone:
        """Return the backbone with a new neck and the head of `model.head`."""
        return replace(self.network(config, classes, s3), preprocess=dense.preprocess(config, s3))

    def start_head(self, backbone: Backbone, classes: Sequence[str], train: Sequence[Sample]) -> None:
        """Leave the head as it is initialized."""

    def inherit_head(self, backbone: Backbone, source: str, classes: Sequence[str], s3: S3Settings) -> tuple[str, ...]:
        """Copy the neck and the head of the saved model at `source`."""
        return inherit_dense(backbone, source, classes, s3)

    def objective(self, experiment: Experiment, classes: Sequence[str], train: Sequence[Sample]) -> DenseObjective:
        """Return the loss of the network."""
        return DenseObjective(partial(self.normalizer, self.head_of(experiment.model)))
