"""Object detection behind the contract of tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.config.schema import AugmentConfig, Experiment, ModelConfig
from raytl.data.encoder import FileAccess
from raytl.data.manifest import Sample
from raytl.data.object_targets import ObjectTargets
from raytl.data.scene_augment import SceneAugment
from raytl.data.targets import Boxes, Instances
from raytl.data.transforms import Preprocess
from raytl.models.backbone import Backbone
from raytl.store.s3_settings import S3Settings
from raytl.tasks import dense, options
from raytl.tasks.detection import network, scores
from raytl.tasks.detection.answer import Detections
from raytl.tasks.detection.reporting import REPORTING
from raytl.tasks.inherit import inherit_dense
from raytl.tasks.object_batches import blank_objects, collated, object_classes
from raytl.tasks.objects import Limits, ObjectBatch
from raytl.tasks.task import Rows, Validation

RECIPE: Mapping[str, Any] = {
    "train.metric": "val/map",
    "search.metric": "val/map",
    "search.linear_probe": False,
    "train.batch_size": 8,
    "train.epochs": 30,
    "train.early_stop": 0,
    "transfer.unfreeze": 6,
    "transfer.lr_decay": 0.8,
    "transfer.head_lr_ratio": 3.0,
    "transfer.head_first": 0,
    "optim.lr": 1e-3,
}
"""The recipe for small sets of boxes, measured on BCCD (experiments/LOG.md)."""


@dataclass(frozen=True)
class DetectionObjective:
    """The loss of the network's own head, of the kind `head`."""

    head: str

    def normalizer(self, targets: ObjectBatch) -> float | None:
        """Return the number of cells that learn an object, or None if each image is normalized by itself."""
        return network.normalizer(self.head, targets)

    def __call__(self, forward: Callable[..., Any], inputs: Tensor, targets: ObjectBatch, ids: Tensor) -> Tensor:
        """Return the summed loss of `inputs`."""
        loss: Tensor = forward(inputs, targets.to(inputs.device, non_blocking=True), ids)
        return loss


class Detection:
    """Any number of objects in each image, as boxes."""

    name = "detection"
    target_types: tuple[type, ...] = (Boxes, Instances)
    metrics: tuple[str, ...] = scores.METRICS
    tie_breaker = "map_50"
    defaults = RECIPE
    head_solver = None
    reporting = REPORTING
    limits = Limits()

    def classes(self, samples: Sequence[Sample]) -> tuple[str, ...]:
        """Return the classes of the objects, sorted."""
        return object_classes(samples)

    def check(self, experiment: Experiment) -> None:
        """Reject options of tasks with one class an image, and unknown heads."""
        options.check(experiment, options.RULES[self.name])
        network.head_of(experiment.model)

    def encoder(
        self, samples: Sequence[Sample], classes: Sequence[str], preprocess: Preprocess, files: FileAccess
    ) -> ObjectTargets:
        """Return the boxes of `samples`."""
        return ObjectTargets(samples, classes, preprocess, lambda views: collated(views, preprocess.view_size))

    def sampling_weights(self, samples: Sequence[Sample], classes: Sequence[str]) -> NDArray[np.float64]:
        """Return equal weights: `check` rejects `train.sampler: balanced`."""
        return np.full(len(samples), 1.0 / len(samples))

    def blank_targets(self, classes: Sequence[str], count: int, size: tuple[int, int]) -> ObjectBatch:
        """Return one object an image."""
        return blank_objects(len(classes), count, size)

    def augment(self, config: AugmentConfig, preprocess: Preprocess) -> SceneAugment:
        """Return views of the frame's size, with scale jitter."""
        return SceneAugment(config, preprocess)

    def preprocess(self, config: ModelConfig, s3: S3Settings) -> Preprocess:
        """Return the preprocessing, with images fitted whole into a frame."""
        return dense.preprocess(config, s3)

    def build(self, config: ModelConfig, classes: Sequence[str], s3: S3Settings) -> Backbone:
        """Return the backbone with a new feature pyramid and the head of `model.head`."""
        return replace(network.build(config, classes, s3), preprocess=dense.preprocess(config, s3))

    def start_head(self, backbone: Backbone, classes: Sequence[str], train: Sequence[Sample]) -> None:
        """Leave the head as it is initialized."""

    def inherit_head(self, backbone: Backbone, source: str, classes: Sequence[str], s3: S3Settings) -> tuple[str, ...]:
        """Copy the neck and the head of the saved model at `source`, with the rows of shared classes."""
        return inherit_dense(backbone, source, classes, s3)

    def objective(self, experiment: Experiment, classes: Sequence[str], train: Sequence[Sample]) -> DetectionObjective:
        """Return the loss of the head."""
        return DetectionObjective(network.head_of(experiment.model))

    def predict(
        self,
        module: nn.Module,
        inputs: Tensor,
        sizes: Sequence[tuple[int, int]],
        preprocess: Preprocess,
        limits: Limits,
    ) -> list[Detections]:
        """Return the objects of each image."""
        views = module(inputs).decode(limits)
        return [
            Detections(
                dense.boxes_in_photo(view.boxes.cpu().numpy(), size, preprocess),
                view.scores.cpu().numpy(),
                view.labels.cpu().numpy(),
            )
            for view, size in zip(views, sizes, strict=True)
        ]

    def evidence(self, answers: Sequence[Any], truths: Sequence[Any]) -> Rows:
        """Return the 100 most certain objects of each image."""
        return scores.evidence(answers, truths)

    def validation(self, truths: Sequence[Any], rows: Rows, classes: Sequence[str]) -> Validation:
        """Return COCO's average precision, and the confusion of classes with the background."""
        return scores.validation(truths, rows, classes)
