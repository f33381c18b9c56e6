"""Single-label classification behind the contract of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.config.schema import AugmentConfig, Experiment, ModelConfig
from raytl.data.augment import TrainAugment
from raytl.data.encoder import FileAccess
from raytl.data.manifest import Sample
from raytl.data.shard import class_weights
from raytl.data.transforms import Preprocess
from raytl.metrics.confusion import confusion_matrix
from raytl.metrics.scores import QUICK, scores
from raytl.models import backbone as backbones
from raytl.models.backbone import Backbone
from raytl.models.heads import inherit
from raytl.models.temperature import temperature_of
from raytl.store.s3_settings import S3Settings
from raytl.tasks import options
from raytl.tasks.calibration import divided
from raytl.tasks.class_recipe import CLASS_RECIPE
from raytl.tasks.classification.explaining import EXPLAINING
from raytl.tasks.classification.exporting import EXPORTING
from raytl.tasks.classification.head import solve_head
from raytl.tasks.classification.loss import loss
from raytl.tasks.classification.mix import mix
from raytl.tasks.classification.objective import ClassificationObjective
from raytl.tasks.classification.reporting import REPORTING
from raytl.tasks.classification.targets import (
    LabelEncoder,
    class_counts,
    class_names,
    decisions,
    encode_targets,
    label_encoder,
)
from raytl.tasks.objects import Limits
from raytl.tasks.probe_solver import ProbeSolver
from raytl.tasks.task import Confusion, Rows, Validation


class Classification:
    """One class for each image."""

    name = "classification"
    target_types: tuple[type, ...] = (str,)
    metrics: tuple[str, ...] = ("balanced_accuracy", *(name for name in QUICK if name != "balanced_accuracy"))
    tie_breaker = "log_loss"
    defaults: Mapping[str, Any] = {}
    calibration = staticmethod(decisions)
    sections: tuple[str, ...] = (
        "calibration", "thresholds", "sets", "unfamiliar", "slices", "fairness", "groups", "shortcuts", "suspects", "robustness",
    )  # fmt: skip
    findings = None
    explaining = EXPLAINING
    exporting = EXPORTING
    limits = None
    recipe = CLASS_RECIPE
    head_solver = ProbeSolver(solve_head, encode_targets)
    reporting = REPORTING

    def classes(self, samples: Sequence[Sample]) -> tuple[str, ...]:
        """Return the class names, sorted."""
        return class_names(samples)

    def check(self, experiment: Experiment) -> None:
        """Reject options that need several labels an image."""
        options.check(experiment, options.RULES[self.name])

    def encoder(
        self, samples: Sequence[Sample], classes: Sequence[str], preprocess: Preprocess, files: FileAccess
    ) -> LabelEncoder:
        """Return the class indices of `samples`."""
        return label_encoder(samples, classes)

    def sampling_weights(self, samples: Sequence[Sample], classes: Sequence[str]) -> NDArray[np.float64]:
        """Return weights inverse to the frequency of the sample's class, `(n,)`."""
        return class_weights(encode_targets(samples, classes), len(classes))

    def blank_targets(self, classes: Sequence[str], count: int, size: tuple[int, int]) -> Tensor:
        """Return the classes in turn, `(count,) int64`."""
        return torch.arange(count) % len(classes)

    def augment(self, config: AugmentConfig, preprocess: Preprocess) -> TrainAugment:
        """Return square views with crops."""
        return TrainAugment(config, preprocess)

    def preprocess(self, config: ModelConfig, s3: S3Settings) -> Preprocess:
        """Return the preprocessing of the network of `config`."""
        return backbones.preprocess_of(config, s3)

    def build(self, config: ModelConfig, classes: Sequence[str], s3: S3Settings) -> Backbone:
        """Return the network with a new head of one output a class."""
        return backbones.build(config, len(classes), s3)

    def start_head(self, backbone: Backbone, classes: Sequence[str], train: Sequence[Sample]) -> None:
        """Leave the new head at zero: the first predictions are uniform."""

    def inherit_head(self, backbone: Backbone, source: str, classes: Sequence[str], s3: S3Settings) -> tuple[str, ...]:
        """Copy the rows of classes that the saved model at `source` has too."""
        return inherit(backbone, source, classes, s3)

    def objective(
        self, experiment: Experiment, classes: Sequence[str], train: Sequence[Sample]
    ) -> ClassificationObjective:
        """Return the loss of `train.loss`, weighted by class, on mixed batches."""
        weighted = loss(experiment.train, class_counts(train, classes))
        return ClassificationObjective(weighted, mix(experiment.augment, len(classes)), len(classes))

    def predict(
        self,
        module: nn.Module,
        inputs: Tensor,
        sizes: Sequence[tuple[int, int]],
        preprocess: Preprocess,
        limits: Limits,
    ) -> list[Any]:
        """Return the calibrated logits of each image, `(classes,) float32`."""
        logits: Tensor = module(inputs)
        return list(divided(logits.float().cpu().numpy(), temperature_of(module)))

    def evidence(self, answers: Sequence[Any], truths: Sequence[Any]) -> Rows:
        """Return the logits, `(n, classes) float32`."""
        return (np.stack(answers) if len(answers) else np.zeros((0, 0), np.float32),)

    def validation(self, truths: Sequence[Any], rows: Rows, classes: Sequence[str]) -> Validation:
        """Return accuracy, balanced accuracy, macro F1 and log loss, with the confusion of classes."""
        targets, logits = decisions(truths, rows)
        return Validation(
            metrics={f"val/{name}": value for name, value in scores(targets, logits).items()},
            confusion=Confusion(tuple(classes), confusion_matrix(targets, logits.argmax(axis=1), len(classes))),
        )
