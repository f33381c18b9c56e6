"""Instance segmentation behind the contract of tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.config.schema import AugmentConfig, Experiment, ModelConfig
from raytl.data.annotations import rle
from raytl.data.encoder import FileAccess
from raytl.data.manifest import Sample
from raytl.data.object_targets import ObjectTargets
from raytl.data.scene_augment import SceneAugment
from raytl.data.targets import Instances
from raytl.data.transforms import Preprocess
from raytl.models.backbone import Backbone
from raytl.store.s3_settings import S3Settings
from raytl.tasks import dense, options
from raytl.tasks.inherit import inherit_dense
from raytl.tasks.instances import network, scores
from raytl.tasks.instances.answer import Segments
from raytl.tasks.instances.reporting import REPORTING
from raytl.tasks.object_batches import blank_objects, collated, object_classes
from raytl.tasks.objects import Limits, ObjectBatch, Predicted
from raytl.tasks.task import Rows, Validation

RECIPE: Mapping[str, Any] = {
    "train.metric": "val/map",
    "search.metric": "val/map",
    "search.linear_probe": False,
    "train.batch_size": 4,
    "train.epochs": 20,
    "train.early_stop": 0,
    "transfer.unfreeze": 6,
    "transfer.lr_decay": 0.8,
    "transfer.head_lr_ratio": 3.0,
    "transfer.head_first": 0,
    "optim.lr": 1e-3,
}
"""The recipe for small sets of masks (experiments/LOG.md)."""
_INSIDE = 0.5
"""Probability from which a pixel belongs to an object."""


class InstancesObjective:
    """The loss of Mask R-CNN; that of each image is divided by its own samples."""

    def normalizer(self, targets: ObjectBatch) -> None:
        """Return None: the loss is divided by the number of images."""
        return

    def __call__(self, forward: Callable[..., Any], inputs: Tensor, targets: ObjectBatch, ids: Tensor) -> Tensor:
        """Return the summed loss of `inputs`."""
        loss: Tensor = forward(inputs, targets.to(inputs.device, non_blocking=True), ids)
        return loss


class InstanceSegmentation:
    """Any number of objects in each image, as masks."""

    name = "instances"
    target_types: tuple[type, ...] = (Instances,)
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
        """Reject options of tasks with one class an image."""
        options.check(experiment, options.RULES[self.name])

    def encoder(
        self, samples: Sequence[Sample], classes: Sequence[str], preprocess: Preprocess, files: FileAccess
    ) -> ObjectTargets:
        """Return the boxes and masks of `samples`."""
        return ObjectTargets(
            samples, classes, preprocess, lambda views: collated(views, preprocess.view_size), with_masks=True
        )

    def sampling_weights(self, samples: Sequence[Sample], classes: Sequence[str]) -> NDArray[np.float64]:
        """Return equal weights: `check` rejects `train.sampler: balanced`."""
        return np.full(len(samples), 1.0 / len(samples))

    def blank_targets(self, classes: Sequence[str], count: int, size: tuple[int, int]) -> ObjectBatch:
        """Return one object an image."""
        return blank_objects(len(classes), count, size, masks=True)

    def augment(self, config: AugmentConfig, preprocess: Preprocess) -> SceneAugment:
        """Return views of the frame's size, with scale jitter."""
        return SceneAugment(config, preprocess)

    def preprocess(self, config: ModelConfig, s3: S3Settings) -> Preprocess:
        """Return the preprocessing, with images fitted whole into a frame."""
        return dense.preprocess(config, s3)

    def build(self, config: ModelConfig, classes: Sequence[str], s3: S3Settings) -> Backbone:
        """Return the backbone with a new feature pyramid and Mask R-CNN's heads."""
        return replace(network.build(config, classes, s3), preprocess=dense.preprocess(config, s3))

    def start_head(self, backbone: Backbone, classes: Sequence[str], train: Sequence[Sample]) -> None:
        """Leave the head as it is initialized."""

    def inherit_head(self, backbone: Backbone, source: str, classes: Sequence[str], s3: S3Settings) -> tuple[str, ...]:
        """Copy the neck and the head of the saved model at `source`."""
        return inherit_dense(backbone, source, classes, s3)

    def objective(self, experiment: Experiment, classes: Sequence[str], train: Sequence[Sample]) -> InstancesObjective:
        """Return the loss of the heads."""
        return InstancesObjective()

    def predict(
        self,
        module: nn.Module,
        inputs: Tensor,
        sizes: Sequence[tuple[int, int]],
        preprocess: Preprocess,
        limits: Limits,
    ) -> list[Segments]:
        """Return the objects of each image."""
        views = module(inputs).decode(limits)
        return [_segments(view, size, preprocess) for view, size in zip(views, sizes, strict=True)]

    def evidence(self, answers: Sequence[Any], truths: Sequence[Any]) -> Rows:
        """Return the 100 most certain objects of each image."""
        return scores.evidence(answers, truths)

    def validation(self, truths: Sequence[Any], rows: Rows, classes: Sequence[str]) -> Validation:
        """Return COCO's average precision of masks and boxes, and the confusion of classes with the background."""
        return scores.validation(truths, rows, classes)


def _segments(view: Predicted, size: tuple[int, int], preprocess: Preprocess) -> Segments:
    """Return the objects of a view in the pixels of its photo; masks are computed inside their boxes."""
    assert view.masks is not None, "the network has a mask head"
    boxes = dense.boxes_in_photo(view.boxes.cpu().numpy(), size, preprocess)
    counts = [_counts(mask, box, size, preprocess) for mask, box in zip(view.masks, boxes, strict=True)]
    return Segments(boxes, view.scores.cpu().numpy(), view.labels.cpu().numpy(), tuple(counts), size)


def _counts(mask: Tensor, box: NDArray[np.float32], size: tuple[int, int], preprocess: Preprocess) -> str:
    width, height = size
    left, top = np.floor(box[:2]).astype(int).clip(0)
    right, bottom = np.minimum(np.ceil(box[2:]).astype(int), size)
    bitmap = np.zeros((height, width), np.bool_)
    if right > left and bottom > top:
        window = (int(top), int(left), int(bottom), int(right))
        inside = dense.map_in_photo(mask[None], size, preprocess, window)[0] >= _INSIDE
        bitmap[top:bottom, left:right] = inside.cpu().numpy()
    return rle.from_bitmap(bitmap)
