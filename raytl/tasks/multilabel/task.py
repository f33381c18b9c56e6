"""Multi-label classification behind the contract of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.config.schema import AugmentConfig, Experiment, ModelConfig
from raytl.data.augment import TrainAugment
from raytl.data.encoder import FileAccess
from raytl.data.manifest import Sample
from raytl.data.targets import Boxes, Instances, Labels
from raytl.data.transforms import Preprocess
from raytl.models import backbone as backbones
from raytl.models.backbone import Backbone
from raytl.models.heads import inherit
from raytl.models.temperature import temperature_of
from raytl.store.s3_settings import S3Settings
from raytl.tasks import options
from raytl.tasks.calibration import divided
from raytl.tasks.class_recipe import CLASS_RECIPE
from raytl.tasks.multilabel import network
from raytl.tasks.multilabel.answer import LabelsAnswer
from raytl.tasks.multilabel.explaining import EXPLAINING
from raytl.tasks.multilabel.exporting import EXPORTING
from raytl.tasks.multilabel.findings import FINDINGS, SECTIONS
from raytl.tasks.multilabel.head import solve_head
from raytl.tasks.multilabel.loss import LabelObjective, label_loss
from raytl.tasks.multilabel.reporting import REPORTING
from raytl.tasks.multilabel.scores import METRICS, confusion_of, metrics, probabilities
from raytl.tasks.multilabel.targets import LabelsEncoder, decisions, encode, label_names
from raytl.tasks.multilabel.thresholds import BUFFER, best_thresholds, thresholds_of
from raytl.tasks.objects import Limits
from raytl.tasks.probe_solver import ProbeSolver
from raytl.tasks.task import Rows, Validation


class MultiLabel:
    """Any number of labels for each image; a label can be unknown."""

    name = "multilabel"
    target_types: tuple[type, ...] = (Labels, Boxes, Instances)
    metrics: tuple[str, ...] = METRICS
    tie_breaker = "log_loss"
    defaults: Mapping[str, Any] = {"train.metric": "val/map", "search.metric": "val/map"}
    calibration = staticmethod(decisions)
    sections: tuple[str, ...] = SECTIONS
    findings = FINDINGS
    explaining = EXPLAINING
    exporting = EXPORTING
    limits = None
    recipe = replace(CLASS_RECIPE, keys=CLASS_RECIPE.keys - {"train.sampler", "train.label_smoothing"})
    head_solver = ProbeSolver(solve_head)
    reporting = REPORTING

    def classes(self, samples: Sequence[Sample]) -> tuple[str, ...]:
        """Return the names of the labels, sorted.

        Raises:
            DataError: samples have no labels, or labels cannot be learned.
        """
        return label_names(samples)

    def check(self, experiment: Experiment) -> None:
        """Reject options that need one class an image.

        Raises:
            ConfigError: with every such key.
        """
        options.check(experiment, options.RULES[self.name])

    def encoder(
        self, samples: Sequence[Sample], classes: Sequence[str], preprocess: Preprocess, files: FileAccess
    ) -> LabelsEncoder:
        """Return the labels of `samples`."""
        return LabelsEncoder(encode(samples, classes))

    def sampling_weights(self, samples: Sequence[Sample], classes: Sequence[str]) -> NDArray[np.float64]:
        """Return equal weights: `check` rejects `train.sampler: balanced`."""
        return np.full(len(samples), 1.0 / len(samples))

    def blank_targets(self, classes: Sequence[str], count: int, size: tuple[int, int]) -> Tensor:
        """Return one label an image in turn, `(count, labels) int8`."""
        return torch.eye(len(classes), dtype=torch.int8)[torch.arange(count) % len(classes)]

    def augment(self, config: AugmentConfig, preprocess: Preprocess) -> TrainAugment:
        """Return square views with crops."""
        return TrainAugment(config, preprocess)

    def preprocess(self, config: ModelConfig, s3: S3Settings) -> Preprocess:
        """Return the preprocessing of the network of `config`, with the whole image in view."""
        return network.whole_image(config, backbones.preprocess_of(config, s3))

    def build(self, config: ModelConfig, classes: Sequence[str], s3: S3Settings) -> Backbone:
        """Return the network with a new head of one output and one threshold a label."""
        return network.build(config, classes, s3)

    def start_head(self, backbone: Backbone, classes: Sequence[str], train: Sequence[Sample]) -> None:
        """Set the biases of the new head to the log-odds of the labels in `train`."""
        network.start_at_prior(backbone, encode(train, classes))

    def inherit_head(self, backbone: Backbone, source: str, classes: Sequence[str], s3: S3Settings) -> tuple[str, ...]:
        """Copy the rows of labels that the saved model at `source` has too."""
        return inherit(backbone, source, classes, s3)

    def objective(self, experiment: Experiment, classes: Sequence[str], train: Sequence[Sample]) -> LabelObjective:
        """Return the binary loss of each known label."""
        return LabelObjective(label_loss(experiment.train, classes, encode(train, classes)), len(classes))

    def predict(
        self,
        module: nn.Module,
        inputs: Tensor,
        sizes: Sequence[tuple[int, int]],
        preprocess: Preprocess,
        limits: Limits,
    ) -> list[Any]:
        """Return the `LabelsAnswer` of each image, with calibrated logits."""
        logits: Tensor = module(inputs)
        thresholds = thresholds_of(module).cpu().numpy()
        rows = divided(logits.float().cpu().numpy(), temperature_of(module))
        return [LabelsAnswer(row, thresholds) for row in rows]

    def evidence(self, answers: Sequence[Any], truths: Sequence[Any]) -> Rows:
        """Return the logits and the thresholds, each `(n, labels) float32`."""
        empty = np.zeros((0, 0), np.float32)
        rows = [(answer.logits, answer.thresholds) for answer in answers]
        return tuple(np.stack(column) for column in zip(*rows, strict=True)) or (empty, empty)

    def validation(self, truths: Sequence[Any], rows: Rows, classes: Sequence[str]) -> Validation:
        """Return mean average precision, F1 and log loss, and choose the thresholds.

        F1 is that at the thresholds chosen on these images, so slightly optimistic.
        """
        table, vectors = probabilities(rows[0]), np.stack(list(truths))
        thresholds = best_thresholds(table, vectors)
        return Validation(
            metrics={f"val/{name}": value for name, value in metrics(table, vectors, thresholds).items()},
            confusion=confusion_of(table >= thresholds, vectors, classes),
            buffers={BUFFER: thresholds},
        )
