"""Semantic segmentation behind the contract of tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raytl.config.schema import AugmentConfig, Experiment, ModelConfig
from raytl.data.class_maps import BACKGROUND, ClassMap, ClassMaps
from raytl.data.encoder import FileAccess
from raytl.data.manifest import Sample
from raytl.data.scene_augment import SceneAugment
from raytl.data.targets import Instances, Mask
from raytl.data.transforms import Preprocess
from raytl.errors import DataError
from raytl.models.backbone import Backbone
from raytl.store.s3_settings import S3Settings
from raytl.tasks import dense, options
from raytl.tasks.inherit import inherit_dense
from raytl.tasks.objects import Limits
from raytl.tasks.segmentation import network, scores
from raytl.tasks.segmentation.loss import loss, normalizer
from raytl.tasks.segmentation.reporting import REPORTING
from raytl.tasks.task import Rows, Validation

RECIPE: Mapping[str, Any] = {
    "train.metric": "val/miou",
    "search.metric": "val/miou",
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
"""The recipe for small sets of masks (experiments/LOG.md)."""
_VALUES_AT_ONCE = 1 << 26
"""Values of an upsampled map of logits that are in memory at once: 256 MB."""


class SegmentationObjective:
    """Cross-entropy of the pixels that have a class."""

    def normalizer(self, targets: Tensor) -> float:
        """Return the number of pixels that have a class."""
        return normalizer(targets)

    def __call__(self, forward: Callable[..., Any], inputs: Tensor, targets: Tensor, ids: Tensor) -> Tensor:
        """Return the summed loss of `inputs`."""
        return loss(forward(inputs), targets.to(inputs.device, non_blocking=True))


class Segmentation:
    """A class for each pixel."""

    name = "segmentation"
    target_types: tuple[type, ...] = (Mask, Instances)
    metrics: tuple[str, ...] = scores.METRICS
    tie_breaker = "pixel_accuracy"
    defaults = RECIPE
    head_solver = None
    reporting = REPORTING
    limits = None

    def classes(self, samples: Sequence[Sample]) -> tuple[str, ...]:
        """Return the classes of the masks in the order of their values, or the background and the classes of objects.

        Raises:
            DataError: samples have no masks.
        """
        return map_classes(samples)

    def check(self, experiment: Experiment) -> None:
        """Reject options of tasks with one class an image."""
        options.check(experiment, options.RULES[self.name])

    def encoder(
        self, samples: Sequence[Sample], classes: Sequence[str], preprocess: Preprocess, files: FileAccess
    ) -> ClassMaps:
        """Return the class maps of `samples`."""
        return ClassMaps(samples, classes, preprocess, max_pixels=files.max_pixels, s3=files.s3)

    def sampling_weights(self, samples: Sequence[Sample], classes: Sequence[str]) -> NDArray[np.float64]:
        """Return equal weights: `check` rejects `train.sampler: balanced`."""
        return np.full(len(samples), 1.0 / len(samples))

    def blank_targets(self, classes: Sequence[str], count: int, size: tuple[int, int]) -> Tensor:
        """Return maps of one class, `(count, height, width) uint8`."""
        return torch.zeros((count, *size), dtype=torch.uint8)

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
        """Copy the neck and the head of the saved model at `source`."""
        return inherit_dense(backbone, source, classes, s3)

    def objective(
        self, experiment: Experiment, classes: Sequence[str], train: Sequence[Sample]
    ) -> SegmentationObjective:
        """Return cross-entropy over pixels."""
        return SegmentationObjective()

    def predict(
        self,
        module: nn.Module,
        inputs: Tensor,
        sizes: Sequence[tuple[int, int]],
        preprocess: Preprocess,
        limits: Limits,
    ) -> list[ClassMap]:
        """Return the class map of each image, `(height, width) uint8`."""
        logits: Tensor = module(inputs)
        return [_classes(view, size, preprocess) for view, size in zip(logits.float(), sizes, strict=True)]

    def evidence(self, answers: Sequence[Any], truths: Sequence[Any]) -> Rows:
        """Return the counts of pixels and boundaries of each image."""
        return scores.evidence(answers, truths)

    def validation(self, truths: Sequence[Any], rows: Rows, classes: Sequence[str]) -> Validation:
        """Return mIoU, Dice, pixel accuracy and boundary F, and the confusion of pixels."""
        return scores.validation(truths, rows, classes)


def map_classes(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return the classes of masks in the order of their values, or the background and the sorted classes of objects.

    Raises:
        DataError: a sample has neither.
    """
    values: dict[str, int] = {}
    objects: set[str] = set()
    for sample in samples:
        match sample.target:
            case Mask(classes=classes):
                values |= {each.name: each.value for each in classes if each.name and each.name not in values}
            case Instances(instances=instances):
                objects |= {each.label for each in instances if not each.crowd}
            case other:
                raise DataError(f"{sample.key}: found {type(other).__name__}; expected a mask or masks of objects")
    if objects:
        values = {BACKGROUND: -1} | values
    return (*sorted(values, key=lambda name: (values[name], name)), *sorted(objects - set(values)))


def _classes(logits: Tensor, size: tuple[int, int], preprocess: Preprocess) -> ClassMap:
    """Return the most probable class at each pixel of the photo, from logits `(classes, h, w)` of its view."""
    width, height = size
    rows = max(1, _VALUES_AT_ONCE // (width * len(logits)))
    parts = [
        dense.map_in_photo(logits, size, preprocess, (top, 0, min(top + rows, height), width)).argmax(dim=0)
        for top in range(0, height, rows)
    ]
    return torch.cat(parts).to(torch.uint8).cpu().numpy()
