"""Match the cells of the feature maps with the objects that they learn, from boxes and grids alone.

Source: Tian et al. 2020, FCOS: A Simple and Strong Anchor-free Object Detector; the rules are those of torchvision's FCOS.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raytl.tasks.objects import ObjectBatch, Objects

STRIDES = (8.0, 16.0, 32.0, 64.0, 128.0)
"""The strides of the maps of a one-stage detector on most backbones; a ViT with patches of 14 pixels has 7 to 112."""
GROUP = 8
"""Channels that the towers of a one-stage detector normalize together, as torchvision's with 256 channels and 32 groups."""
_RADIUS = 1.5
"""Cells learn an object if their centers are at most this many strides from its center."""
_SCALE = 4.0, 8.0
"""The largest distance from a cell to the edges of its object, in strides; open below the finest and above the coarsest map."""

BACKGROUND, IGNORED = -1, -2


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of all maps, from fine to coarse and row by row.

    `centers (n, 2) float32` are x and y in pixels, `strides (n,) float32`, and `ranges (n, 2)` the least and largest distance
    to the edges of their objects in pixels.
    """

    centers: Tensor
    strides: Tensor
    ranges: Tensor


def cells(grids: Sequence[tuple[int, int]], strides: Sequence[float], device: torch.device | None = None) -> Cells:
    """Return the cells of maps of `grids` (rows, columns); a cell is in the center of its stride."""
    centers, steps, ranges = [], [], []
    for i, ((rows, columns), stride) in enumerate(zip(grids, strides, strict=True)):
        y, x = ((torch.arange(n, device=device, dtype=torch.float32) + 0.5) * stride for n in (rows, columns))
        centers.append(torch.stack([x.repeat(rows), y.repeat_interleave(columns)], dim=1))
        low = 0.0 if i == 0 else _SCALE[0] * stride
        high = math.inf if i == len(grids) - 1 else _SCALE[1] * stride
        steps.append(torch.full((rows * columns,), stride, device=device))
        bounds = [torch.full((rows * columns,), bound, device=device) for bound in (low, high)]  # filled, not copied
        ranges.append(torch.stack(bounds, dim=1))
    return Cells(torch.cat(centers), torch.cat(steps), torch.cat(ranges))


def grids(size: tuple[int, int], strides: Sequence[float] = STRIDES) -> list[tuple[int, int]]:
    """Return the (rows, columns) of maps of `strides` for views of `size`, rounded up."""
    return [(math.ceil(size[0] / stride), math.ceil(size[1] / stride)) for stride in strides]


def match(grid: Cells, objects: Objects) -> Tensor:
    """Return the index of the object that each cell learns, `BACKGROUND`, or `IGNORED` inside a group: `(n,) int64`.

    Of several objects a cell learns the one with the smallest box.
    """
    result = torch.full((len(grid.centers),), BACKGROUND, dtype=torch.int64, device=grid.centers.device)
    if not len(objects):
        return result
    distances = _distances(grid, objects.boxes)  # (n, objects, 4)
    inside = distances.amin(dim=2) > 0
    centers = (objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2
    near = (grid.centers[:, None] - centers).abs().amax(dim=2) < _RADIUS * grid.strides[:, None]
    furthest = distances.amax(dim=2)
    fits = (furthest > grid.ranges[:, :1]) & (furthest < grid.ranges[:, 1:])
    areas = (objects.boxes[:, 2:] - objects.boxes[:, :2]).prod(dim=1)
    area, index = torch.where(inside & near & fits & ~objects.crowd, areas, math.inf).min(dim=1)
    result[(inside & objects.crowd).any(dim=1)] = IGNORED
    return torch.where(area < math.inf, index, result)


def positives(batch: ObjectBatch) -> float:
    """Return the number of cells that learn an object, on maps of `STRIDES`."""
    grid = cells(grids(batch.size), STRIDES)
    views = (view.to(torch.device("cpu")) for view in batch.views)
    return float(sum(int((match(grid, view) >= 0).sum()) for view in views))


def _distances(grid: Cells, boxes: Tensor) -> Tensor:
    """Return the distances of each cell to the left, upper, right and lower side of each box: `(n, boxes, 4)`."""
    centers = grid.centers[:, None]
    return torch.cat([centers - boxes[:, :2], boxes[:, 2:] - centers], dim=2)
