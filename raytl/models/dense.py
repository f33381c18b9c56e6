"""A dense network: a pretrained pyramid, a new neck and a new head, as one `Backbone` with the stages of the pyramid.

The neck and the head always train. BatchNorm keeps the statistics of the pretrained network, as batches of dense tasks are
small; its scale and shift train with their stage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from raytl.config.schema import ModelConfig
from raytl.models.backbone import Backbone, build
from raytl.models.pyramid import Level, Pyramid, pyramid
from raytl.models.stages import Layout, Stage, divide
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

_BODY = "pyramid.body."

Parts = tuple[nn.Module, nn.Module]
"""A neck, from the maps of the pyramid to maps, and a head; see `Dense`."""


class Dense(nn.Module):
    """Images through a pyramid, a neck and a head.

    The head is called with the maps of the neck, the (height, width) of the images, targets and ids; its result is that of
    the network: predictions without targets, and the loss summed over the samples with them.
    """

    def __init__(self, maps: Pyramid, neck: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.pyramid, self.neck, self.head = maps, neck, head

    def forward(self, images: Tensor, targets: Any = None, ids: Tensor | None = None) -> Any:
        """Return what the head returns for normalized `images (b, 3, h, w)`."""
        return self.head(self.neck(self.pyramid(images)), images.shape[-2:], targets, ids)

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that the body excludes from weight decay."""
        excluded = getattr(self.pyramid.body, "no_weight_decay", set)
        return {f"{_BODY}{name}" for name in cast(Callable[[], set[str]], excluded)()}


def build_dense(
    config: ModelConfig,
    create: Callable[[Sequence[Level]], Parts],
    finest: int,
    s3: S3Settings = ENVIRONMENT,
) -> Backbone:
    """Build the pretrained body of `config` with the neck and head that `create` makes for its levels.

    `finest` is the stride of the finest map that they want. New parts draw from torch's global generator, so seed it first.

    Raises:
        ModelError: as `build`, or the network has no feature maps.
    """
    classifier = build(config, 1, s3, unused=lambda module: _unused(module, finest, config.channels))
    maps = pyramid(classifier.module, finest, config.channels)
    dense = Dense(maps, *create(maps.levels))
    layout = _layout(dense, classifier.stages)
    norms = (name for name, part in dense.pyramid.named_modules(prefix="pyramid") if isinstance(part, _BatchNorm))
    return replace(classifier, module=dense, stages=layout.stages, head=layout.head, evaluated=frozenset(norms))


def _unused(module: nn.Module, finest: int, channels: int) -> list[str]:
    retained = pyramid(module, finest, channels).body.state_dict()
    return [name for name in module.state_dict() if name not in retained]


def _layout(dense: Dense, stages: Sequence[Stage]) -> Layout:
    """Return the stages of the classifier, under their own names, without the tensors that the pyramid dropped."""
    numbers = {f"{_BODY}{name}": i for i, stage in enumerate(stages) for name in (*stage.parameters, *stage.buffers)}
    layout = divide(dense, numbers)
    return replace(layout, stages=tuple(replace(s, name=s.name.removeprefix(_BODY)) for s in layout.stages))
