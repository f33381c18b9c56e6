"""Necks: modules between the maps of a backbone and a head, which give each head the same octaves whatever the backbone.

`Octaves` adds the maps that a backbone lacks: finer ones by transposed convolution and coarser ones by pooling, as in the
simple feature pyramid of a plain ViT (Li et al. 2022, Exploring Plain Vision Transformer Backbones for Object Detection).
`Fpn` adds torchvision's feature pyramid network (Lin et al. 2017) over them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, cast

from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from raytl.models.pyramid import COARSEST, Level


class Octaves(nn.Module):
    """The maps of a backbone to one map for each octave of stride from `finest` to `COARSEST`.

    `channels` and `strides` are those of its maps, from fine to coarse; strides of a ViT with patches of 14 pixels are 7, 14
    and 28 instead of 8, 16 and 32.
    """

    def __init__(self, levels: Sequence[Level], finest: int) -> None:
        super().__init__()
        low, high = round(math.log2(finest)), round(math.log2(COARSEST))
        own = [level.octave for level in levels]
        octaves = range(low, high + 1)
        self._sources = [max((i for i, octave in enumerate(own) if octave <= k), default=0) for k in octaves]
        steps = [k - own[i] for k, i in zip(octaves, self._sources, strict=True)]
        bases = [levels[i] for i in self._sources]
        self.resample = nn.ModuleList(_resample(level.channels, step) for level, step in zip(bases, steps, strict=True))
        self.channels = [max(level.channels >> max(-step, 0), 1) for level, step in zip(bases, steps, strict=True)]
        self.strides = tuple(level.stride * 2.0**step for level, step in zip(bases, steps, strict=True))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the maps `(b, channels, h, w)` of the octaves."""
        return [resample(maps[i]) for i, resample in zip(self._sources, self.resample, strict=True)]


class Fpn(nn.Module):
    """The maps of a backbone to maps of equal `channels`: one for each octave from `finest`, and those of `top`.

    `top` is p6p7, two more by convolution for one-stage detectors, or pool, one more by subsampling for proposals.
    `strides` are those of its maps, from fine to coarse.
    """

    def __init__(
        self, levels: Sequence[Level], finest: int, channels: int, top: Literal["p6p7", "pool"] | None = None
    ) -> None:
        super().__init__()
        self.octaves = Octaves(levels, finest)
        extra = {"p6p7": lambda: LastLevelP6P7(channels, channels), "pool": LastLevelMaxPool}[top]() if top else None
        self.fpn = FeaturePyramidNetwork(self.octaves.channels, channels, extra)
        above = {"p6p7": (2.0, 4.0), "pool": (2.0,)}[top] if top else ()
        self.channels = channels
        self.strides = (*self.octaves.strides, *(self.octaves.strides[-1] * factor for factor in above))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the maps `(b, channels, h, w)`."""
        named = {str(i): value for i, value in enumerate(self.octaves(maps))}
        return list(cast(dict[str, Tensor], self.fpn(named)).values())


def _resample(channels: int, step: int) -> nn.Module:
    """Return the change of a map by `step` octaves: coarser above 0, and finer, with half the channels a step, below."""
    if step >= 0:
        return nn.Sequential(*(nn.MaxPool2d(2, ceil_mode=True) for _ in range(step)))
    layers: list[nn.Module] = []
    for i in range(-step):
        width = max(channels >> (i + 1), 1)
        layers += [nn.GroupNorm(1, channels >> i), nn.GELU()] if i else []
        layers += [nn.ConvTranspose2d(channels >> i, width, 2, stride=2)]
    return nn.Sequential(*layers)
