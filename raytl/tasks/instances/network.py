"""The network of instance segmentation: Mask R-CNN on the pyramid of any backbone, from stride 4."""

from __future__ import annotations

from collections.abc import Sequence

from raytl.config.schema import ModelConfig
from raytl.models.backbone import Backbone
from raytl.models.dense import Parts, build_dense
from raytl.models.neck import Fpn
from raytl.models.pyramid import Level
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.tasks import dense
from raytl.tasks.detection.regions import RegionHead

CHANNELS = 64
"""Default channels of the maps of the neck."""
HEAD = "mask_rcnn"
_FINEST = 4


def build(config: ModelConfig, classes: Sequence[str], s3: S3Settings = ENVIRONMENT) -> Backbone:
    """Return the network of `config`. It returns an output with `decode(limits)`, or the loss of targets summed over views.

    The loss of each view is divided by its own samples; divide the sum by the number of views.

    Raises:
        ConfigError: `model.head` is unknown.
        ModelError: as `build_dense`.
    """
    head_of(config)
    channels = config.neck.channels or CHANNELS
    return build_dense(config, lambda levels: _parts(levels, channels, len(classes)), _FINEST, s3)


def head_of(config: ModelConfig) -> str:
    """Return the kind of head of `config`.

    Raises:
        ConfigError: it is unknown.
    """
    return dense.head_of("instances", (HEAD,), config)


def _parts(levels: Sequence[Level], channels: int, classes: int) -> Parts:
    neck = Fpn(levels, _FINEST, channels, "pool")
    return neck, RegionHead(channels, neck.strides, classes, masks=True)
