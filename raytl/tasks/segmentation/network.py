"""The networks of semantic segmentation: a head on the pyramid of any backbone, from stride 4."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from raytl.config.schema import ModelConfig
from raytl.models.backbone import Backbone
from raytl.models.dense import Parts, build_dense
from raytl.models.neck import Fpn, Octaves
from raytl.models.pyramid import Level
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.tasks import dense
from raytl.tasks.segmentation.heads import DeepLabHead, FpnHead

CHANNELS = 128
"""Default channels of the maps of the neck, and of the layers of DeepLabV3+."""
_FINEST = 4


def build(config: ModelConfig, classes: Sequence[str], s3: S3Settings = ENVIRONMENT) -> Backbone:
    """Return the network of `config`. It returns logits `(b, classes, h, w)` of the pixels, or the summed loss of targets.

    Raises:
        ConfigError: `model.head` is unknown.
        ModelError: as `build_dense`.
    """
    create, channels = _HEADS[head_of(config)], config.neck.channels or CHANNELS
    return build_dense(config, lambda levels: create(levels, channels, len(classes)), _FINEST, s3)


def head_of(config: ModelConfig) -> str:
    """Return the kind of head of `config`.

    Raises:
        ConfigError: it is unknown.
    """
    return dense.head_of("segmentation", _HEADS, config)


def _fpn(levels: Sequence[Level], channels: int, classes: int) -> Parts:
    neck = Fpn(levels, _FINEST, channels)
    return neck, FpnHead(channels, len(neck.strides), classes)


def _deeplab(levels: Sequence[Level], channels: int, classes: int) -> Parts:
    neck = Octaves(levels, _FINEST)
    return neck, DeepLabHead(neck.channels, classes, channels)


_HEADS: Mapping[str, Callable[[Sequence[Level], int, int], Parts]] = {"fpn": _fpn, "deeplabv3plus": _deeplab}
