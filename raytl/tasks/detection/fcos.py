"""FCOS: each cell of the feature maps predicts the classes, the box and the centerness of the object around it.

Source: Tian et al. 2020. The head, the focal loss, the GIoU loss and the suppression are torchvision's. Its loss divides by
the objects of the local batch, so that it depends on the number of workers; this one is a sum.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.fcos import FCOSClassificationHead, FCOSRegressionHead
from torchvision.ops import clip_boxes_to_image, generalized_box_iou_loss, sigmoid_focal_loss

from raytl.tasks.detection.matching import GROUP, IGNORED, Cells, cells, match
from raytl.tasks.detection.selection import selected
from raytl.tasks.objects import Limits, ObjectBatch, Objects, Predicted


@dataclass(frozen=True, slots=True)
class FcosOutput:
    """The raw predictions for each cell: `logits (b, n, classes)`, `distances (b, n, 4)`, `centerness (b, n)`, all float32.

    `distances` are those to the left, upper, right and lower edge, in strides. `grids` are the (rows, columns) of the maps, and
    `size` the (height, width) of the views.
    """

    logits: Tensor
    distances: Tensor
    centerness: Tensor
    grids: tuple[tuple[int, int], ...]
    cells: Cells
    size: tuple[int, int]

    def decode(self, limits: Limits) -> list[Predicted]:
        """Return the objects of each view."""
        scores = torch.sqrt(self.logits.sigmoid() * self.centerness.sigmoid()[..., None])
        return [self._decode_view(scores[i], self.distances[i], limits) for i in range(len(scores))]

    def _decode_view(self, scores: Tensor, distances: Tensor, limits: Limits) -> Predicted:
        def boxes(cell: Tensor) -> Tensor:
            clipped: Tensor = clip_boxes_to_image(decoded(self.cells, distances[cell], cell), list(self.size))
            return clipped

        return selected(scores, [rows * columns for rows, columns in self.grids], boxes, self.size, limits)


class Fcos(nn.Module):
    """The head on maps of equal `channels` with `strides`; `convs` layers in each of its two towers."""

    kind = "fcos"

    def __init__(self, channels: int, strides: Sequence[float], classes: int, convs: int = 2) -> None:
        super().__init__()
        norm = partial(nn.GroupNorm, channels // GROUP)
        self.classify = FCOSClassificationHead(channels, 1, classes, convs, norm_layer=norm)
        self.regress = FCOSRegressionHead(channels, 1, convs, norm_layer=norm)
        self._strides = tuple(strides)

    def forward(
        self, maps: Sequence[Tensor], size: Sequence[int], targets: ObjectBatch | None = None, ids: Any = None
    ) -> FcosOutput | Tensor:
        """Return the predictions, or with `targets` the loss summed over the views: `()`."""
        distances, centerness = self.regress(maps)
        grids = tuple((value.shape[-2], value.shape[-1]) for value in maps)
        output = FcosOutput(
            self.classify(maps).float(),
            distances.float(),
            centerness.float().squeeze(2),
            grids,
            cells(grids, self._strides, maps[0].device),
            (int(size[0]), int(size[1])),
        )
        return output if targets is None else loss(output, targets)


def loss(output: FcosOutput, targets: ObjectBatch) -> Tensor:
    """Return the sum of the losses of classes, boxes and centerness over all cells of the views: `()`.

    Divide it by `matching.positives` of the whole batch, or by 1 if that is 0.
    """
    views = targets.to(output.logits.device).views
    matches = torch.stack([match(output.cells, view) for view in views])
    place = (matches >= 0).nonzero(as_tuple=True)  # of views and cells; a GPU computes all before, so this is done once
    cell, index = place[1], _indices(matches, views)[place]
    labels, boxes = torch.cat([view.labels for view in views])[index], torch.cat([view.boxes for view in views])[index]
    wanted = torch.zeros_like(output.logits)
    wanted[place] = functional.one_hot(labels, wanted.shape[2]).to(wanted)
    classes: Tensor = sigmoid_focal_loss(output.logits, wanted)[matches != IGNORED].sum()
    overlap: Tensor = generalized_box_iou_loss(
        decoded(output.cells, output.distances[place], cell), boxes, reduction="sum"
    )
    centered = functional.binary_cross_entropy_with_logits(
        output.centerness[place], centerness(output.cells, boxes, cell), reduction="sum"
    )
    return classes + overlap + centered


def _indices(matches: Tensor, views: Sequence[Objects]) -> Tensor:
    """Return the positions of matched objects among those of all views: `(views, cells)`."""
    starts = itertools.accumulate((len(view) for view in views[:-1]), initial=0)
    return torch.stack([own + start for own, start in zip(matches, starts, strict=True)])


def decoded(grid: Cells, distances: Tensor, cell: Tensor) -> Tensor:
    """Return the boxes `(n, 4)` that the cells with indices `cell` predict with `distances (n, 4)`."""
    offsets = distances * grid.strides[cell, None]
    centers = grid.centers[cell]
    return torch.cat([centers - offsets[:, :2], centers + offsets[:, 2:]], dim=1)


def centerness(grid: Cells, boxes: Tensor, cell: Tensor) -> Tensor:
    """Return how central each cell is in its box: 1 in the center, 0 at a side: `(n,)`."""
    centers = grid.centers[cell]
    before, behind = centers - boxes[:, :2], boxes[:, 2:] - centers
    ratio = torch.minimum(before, behind) / torch.maximum(before, behind)
    return ratio.prod(dim=1).sqrt()
