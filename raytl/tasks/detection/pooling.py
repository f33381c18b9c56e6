"""Pool regions of the maps of a pyramid: torchvision's, in a form that an exported graph can hold where one is made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign, roi_align
from torchvision.ops.poolers import LevelMapper


def region_pool(strides: Sequence[float], px: int) -> MultiScaleRoIAlign:
    """Return the pooling of regions to `px` x `px`, with the scales that the strides say instead of measured ones."""
    pool = MultiScaleRoIAlign([str(i) for i in range(len(strides))], px, sampling_ratio=2)
    pool.scales = [1 / stride for stride in strides]
    octaves = [round(math.log2(stride)) for stride in strides]
    pool.map_levels = LevelMapper(octaves[0], octaves[-1], pool.canonical_scale, pool.canonical_level)
    return pool


def pooled(pool: MultiScaleRoIAlign, maps: Sequence[Tensor], boxes: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Return the features of the boxes of all views, `(n, channels, px, px)`."""
    if torch.compiler.is_exporting() and len(maps) > 1:
        (own,) = boxes  # a graph takes one view
        return _pooled_view(pool, maps, own)
    named = {str(i): value for i, value in enumerate(maps)}
    return cast(Tensor, pool(named, list(boxes), [size] * len(boxes)))


def _pooled_view(pool: MultiScaleRoIAlign, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """Return the same without the number of boxes, which a graph does not know."""
    levels = pool.map_levels([boxes])
    result = maps[0].new_zeros((boxes.shape[0], maps[0].shape[1], *pool.output_size))
    for level, (own, scale) in enumerate(zip(maps, pool.scales, strict=True)):
        place = (levels == level).nonzero()[:, 0]
        regions = torch.nn.functional.pad(boxes[place], (1, 0))  # the index of the view, which is 0
        part = roi_align(own, regions, list(pool.output_size), scale, pool.sampling_ratio)
        result = result.index_put((place,), part)
    return result
