"""Semantic segmentation, composed of functions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from raytl.data.class_maps import BACKGROUND, ClassMaps
from raytl.data.encoder import FileAccess
from raytl.data.manifest import Sample
from raytl.data.targets import Instances, Mask
from raytl.data.transforms import Preprocess
from raytl.errors import DataError
from raytl.tasks.dense_task import DenseTask, defaults
from raytl.tasks.segmentation import network, scores
from raytl.tasks.segmentation.explaining import EXPLAINING
from raytl.tasks.segmentation.exporting import EXPORTING
from raytl.tasks.segmentation.findings import FINDINGS, SECTIONS
from raytl.tasks.segmentation.inference import predict
from raytl.tasks.segmentation.loss import normalizer
from raytl.tasks.segmentation.reporting import REPORTING


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


def encoder(samples: Sequence[Sample], classes: Sequence[str], preprocess: Preprocess, files: FileAccess) -> ClassMaps:
    """Return the class maps of `samples`."""
    return ClassMaps(samples, classes, preprocess, max_pixels=files.max_pixels, s3=files.s3)


def blank_targets(classes: Sequence[str], count: int, size: tuple[int, int]) -> Tensor:
    """Return maps of one class, `(count, height, width) uint8`."""
    return torch.zeros((count, *size), dtype=torch.uint8)


TASK = DenseTask(
    name="segmentation",
    target_types=(Mask, Instances),
    metrics=scores.METRICS,
    tie_breaker="pixel_accuracy",
    defaults=defaults("val/miou"),
    reporting=REPORTING,
    limits=None,
    head_of=network.head_of,
    network=network.build,
    normalizer=lambda head, targets: normalizer(targets),
    classes=map_classes,
    encoder=encoder,
    blank_targets=blank_targets,
    predict=predict,
    evidence=scores.evidence,
    validation=scores.validation,
    sections=SECTIONS,
    findings=FINDINGS,
    explaining=EXPLAINING,
    exporting=EXPORTING,
)
