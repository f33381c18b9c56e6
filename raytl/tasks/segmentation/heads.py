"""Heads of semantic segmentation: maps of a pyramid to a score for each class and pixel.

`FpnHead` is the semantic branch of Kirillov et al. 2019, Panoptic Feature Pyramid Networks; `DeepLabHead` is the decoder of
Chen et al. 2018, DeepLabV3+. Both normalize by group, as batches are small,
and have no dropout: its draws would depend on the number of workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from raytl.tasks.segmentation.loss import loss

_GROUP = 16
"""Channels that are normalized together."""
_RATES = (3, 6, 9)
"""Dilations at stride 32; they reach as far as DeepLab's 6, 12 and 18 at stride 16."""


class FpnHead(nn.Module):
    """Maps of equal `channels`, each upsampled in steps of two to the finest and added, to the logits of `classes`."""

    kind = "fpn"

    def __init__(self, channels: int, maps: int, classes: int, width: int = 64) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_branch(channels, width, steps) for steps in range(maps))
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(
        self, maps: Sequence[Tensor], size: Sequence[int], targets: Tensor | None = None, ids: Any = None
    ) -> Tensor:
        """Return the logits `(b, classes, height, width) float32` of the pixels, or with `targets` their summed loss."""
        finest = maps[0].shape[-2:]
        total = torch.stack([_resized(b(m), finest) for b, m in zip(self.branches, maps, strict=True)]).sum(dim=0)
        return _answer(self.classify(total), size, targets)


class DeepLabHead(nn.Module):
    """The coarsest map through dilated convolutions, joined with the finest; `channels` are those of the maps."""

    kind = "deeplabv3plus"

    def __init__(self, channels: Sequence[int], classes: int, width: int = 128) -> None:
        super().__init__()
        deep, detail = channels[-1], 48
        self.context = nn.ModuleList([_layer(deep, width, 1), *(_layer(deep, width, 3, rate) for rate in _RATES)])
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(deep, width, 1), nn.ReLU())
        self.joined = _layer(width * (len(_RATES) + 2), width, 1)
        self.detail = _layer(channels[0], detail, 1)
        self.refine = nn.Sequential(_layer(width + detail, width, 3), _layer(width, width, 3))
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(
        self, maps: Sequence[Tensor], size: Sequence[int], targets: Tensor | None = None, ids: Any = None
    ) -> Tensor:
        """Return the logits `(b, classes, height, width) float32` of the pixels, or with `targets` their summed loss."""
        deep, fine = maps[-1], maps[0]
        whole = self.whole(deep).expand(-1, -1, *deep.shape[-2:])
        joined = self.joined(torch.cat([*(branch(deep) for branch in self.context), whole], dim=1))
        merged = torch.cat([_resized(joined, fine.shape[-2:]), self.detail(fine)], dim=1)
        return _answer(self.classify(self.refine(merged)), size, targets)


def _answer(logits: Tensor, size: Sequence[int], targets: Tensor | None) -> Tensor:
    full = _resized(logits.float(), size)
    return full if targets is None else loss(full, targets)


def _branch(channels: int, width: int, steps: int) -> nn.Sequential:
    """Return a convolution, or as many as the map is to be doubled, each followed by the doubling."""
    layers: list[nn.Module] = [_layer(channels, width, 3)]
    for step in range(steps):
        layers += [_layer(width, width, 3)] if step else []
        layers += [nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)]
    return nn.Sequential(*layers)


def _layer(before: int, after: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(convolution, nn.GroupNorm(max(after // _GROUP, 1), after), nn.ReLU(inplace=True))


def _resized(value: Tensor, size: Sequence[int]) -> Tensor:
    """Return the map at the (height, width) `size`; maps whose sizes do not halve evenly differ by a cell."""
    if tuple(value.shape[-2:]) == tuple(size):
        return value
    return functional.interpolate(value, [int(side) for side in size], mode="bilinear", align_corners=False)
