"""Anchors: boxes of fixed shapes around each cell of the feature maps, matched with the objects.

The matching and the coding of boxes are torchvision's. Samples are drawn from a generator of the image's own, and each
image's loss is divided by its own samples, so that the division of a batch does not change the loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou

from raytl.tasks.detection.matching import BACKGROUND, IGNORED, cells
from raytl.tasks.objects import Objects

RATIOS = (0.5, 1.0, 2.0)
"""Heights of the anchors by their widths."""
_IN_GROUP = 0.5
"""The share of a box that lies in a group from which the box is no background."""


def anchors(
    grids: Sequence[tuple[int, int]], strides: Sequence[float], sizes: Sequence[float], device: torch.device
) -> Tensor:
    """Return the anchors `(cells x shapes, 4)`, cell by cell; `sizes` are roots of their areas, in strides."""
    grid = cells(grids, strides, device)
    shapes = torch.tensor([(s * r**-0.5, s * r**0.5) for s in sizes for r in RATIOS], device=device) / 2
    half = grid.strides[:, None, None] * shapes
    return torch.cat([grid.centers[:, None] - half, grid.centers[:, None] + half], dim=2).reshape(-1, 4)


def matched(matcher: Matcher, boxes: Tensor, objects: Objects) -> Tensor:
    """Return for each box the index of the object that it learns, `BACKGROUND`, or `IGNORED`: `(n,) int64`."""
    alone = (~objects.crowd).nonzero()[:, 0]
    if len(alone):
        raw = matcher(box_iou(objects.boxes[alone], boxes))
        result = torch.where(raw >= 0, alone[raw.clamp(min=0)], torch.full_like(raw, IGNORED))
        result[raw == Matcher.BELOW_LOW_THRESHOLD] = BACKGROUND
    else:
        result = torch.full((len(boxes),), BACKGROUND, dtype=torch.int64, device=boxes.device)
    result[(result == BACKGROUND) & _in_group(boxes, objects.boxes[objects.crowd])] = IGNORED
    return result


def sampled(matches: Tensor, count: int, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the positions of at most `count` random boxes: up to a `fraction` with an object, and background."""
    positive = _some(matches >= 0, int(count * fraction), generator)
    return positive, _some(matches == BACKGROUND, count - len(positive), generator)


def _some(mask: Tensor, count: int, generator: torch.Generator) -> Tensor:
    places = mask.nonzero()[:, 0]
    order = torch.randperm(len(places), generator=generator)[:count]
    return places[order.to(places.device)]


def _in_group(boxes: Tensor, groups: Tensor) -> Tensor:
    """Return True for the boxes that lie in one of the `groups`, mostly."""
    upper, lower = torch.maximum(boxes[:, None, :2], groups[:, :2]), torch.minimum(boxes[:, None, 2:], groups[:, 2:])
    shared = (lower - upper).clamp(min=0).prod(dim=2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    return (shared > _IN_GROUP * area[:, None]).any(dim=1)
