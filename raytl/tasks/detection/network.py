"""The networks of detection: a head of torchvision's on a feature pyramid over any backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from raytl.config.schema import ModelConfig
from raytl.models.backbone import Backbone
from raytl.models.dense import Parts, build_dense
from raytl.models.neck import Fpn
from raytl.models.pyramid import Level
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.tasks import dense
from raytl.tasks.detection.fcos import Fcos
from raytl.tasks.detection.matching import positives
from raytl.tasks.detection.regions import RegionHead
from raytl.tasks.detection.retinanet import RetinaNet
from raytl.tasks.objects import ObjectBatch

CHANNELS = 96
"""Default channels of the maps of the neck."""
_FINEST, _FINEST_OF_REGIONS = 8, 4
"""Strides of the finest maps."""


def build(config: ModelConfig, classes: Sequence[str], s3: S3Settings = ENVIRONMENT) -> Backbone:
    """Return the network of `config`. It returns an output with `decode(limits)`, or the summed loss of targets.

    Raises:
        ConfigError: `model.head` is unknown.
        ModelError: as `build_dense`.
    """
    create, finest = _HEADS[head_of(config)]
    channels = config.neck.channels or CHANNELS
    return build_dense(config, lambda levels: create(levels, channels, len(classes)), finest, s3)


def head_of(config: ModelConfig) -> str:
    """Return the kind of head of `config`.

    Raises:
        ConfigError: it is unknown.
    """
    return dense.head_of("detection", _HEADS, config)


def normalizer(head: str, targets: ObjectBatch) -> float | None:
    """Return the number that the summed loss of `targets` is divided by: of FCOS the cells with an object.

    None is the number of views; the other heads divide the loss of each view by its own samples.
    """
    return positives(targets) if head == "fcos" else None


def _fcos(levels: Sequence[Level], channels: int, classes: int) -> Parts:
    neck = Fpn(levels, _FINEST, channels, "p6p7")
    return neck, Fcos(channels, neck.strides, classes)


def _retinanet(levels: Sequence[Level], channels: int, classes: int) -> Parts:
    neck = Fpn(levels, _FINEST, channels, "p6p7")
    return neck, RetinaNet(channels, neck.strides, classes)


def _faster_rcnn(levels: Sequence[Level], channels: int, classes: int) -> Parts:
    neck = Fpn(levels, _FINEST_OF_REGIONS, channels, "pool")
    return neck, RegionHead(channels, neck.strides, classes)


_HEADS: Mapping[str, tuple[Callable[[Sequence[Level], int, int], Parts], int]] = {
    "fcos": (_fcos, _FINEST),
    "retinanet": (_retinanet, _FINEST),
    "faster_rcnn": (_faster_rcnn, _FINEST_OF_REGIONS),
}
