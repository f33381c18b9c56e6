"""RetinaNet: each of nine anchors around a cell predicts the classes and the box of the object that it overlaps.

Source: Lin et al. 2017, Focal Loss for Dense Object Detection; the layers, matching, coding, loss and suppression are
torchvision's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.retinanet import RetinaNetClassificationHead, RetinaNetRegressionHead
from torchvision.ops import clip_boxes_to_image, sigmoid_focal_loss

from raytl.tasks.detection.anchors import RATIOS, anchors, matched
from raytl.tasks.detection.matching import GROUP, IGNORED
from raytl.tasks.detection.selection import selected
from raytl.tasks.objects import Limits, ObjectBatch, Objects, Predicted

_SIZES = tuple(4 * 2 ** (k / 3) for k in range(3))
"""Roots of the areas of the anchors of a cell, in strides."""


@dataclass(frozen=True, slots=True)
class RetinaOutput:
    """The raw predictions for each anchor: `logits (b, n, classes)` and `deltas (b, n, 4)` float32; `counts` by map."""

    logits: Tensor
    deltas: Tensor
    anchors: Tensor
    counts: tuple[int, ...]
    size: tuple[int, int]
    coder: BoxCoder

    def decode(self, limits: Limits) -> list[Predicted]:
        """Return the objects of each view."""
        return [self._decode_view(*each, limits) for each in zip(self.logits.sigmoid(), self.deltas, strict=True)]

    def _decode_view(self, scores: Tensor, deltas: Tensor, limits: Limits) -> Predicted:
        def boxes(place: Tensor) -> Tensor:
            moved = self.coder.decode_single(deltas[place], self.anchors[place])
            clipped: Tensor = clip_boxes_to_image(moved, list(self.size))
            return clipped

        return selected(scores, self.counts, boxes, self.size, limits)


class RetinaNet(nn.Module):
    """The head on maps of equal `channels` with `strides`."""

    kind = "retinanet"

    def __init__(self, channels: int, strides: Sequence[float], classes: int) -> None:
        super().__init__()
        shapes, norm = len(RATIOS) * len(_SIZES), partial(nn.GroupNorm, channels // GROUP)
        self.classify = RetinaNetClassificationHead(channels, shapes, classes, norm_layer=norm)
        self.regress = RetinaNetRegressionHead(channels, shapes, norm_layer=norm)
        self._strides, self._shapes = tuple(strides), shapes
        self._matcher, self._coder = Matcher(0.5, 0.4, allow_low_quality_matches=True), BoxCoder((1.0, 1.0, 1.0, 1.0))

    def forward(
        self, maps: Sequence[Tensor], size: Sequence[int], targets: ObjectBatch | None = None, ids: Any = None
    ) -> RetinaOutput | Tensor:
        """Return the predictions, or with `targets` the loss summed over the views: `()`."""
        grids = [(value.shape[-2], value.shape[-1]) for value in maps]
        output = RetinaOutput(
            self.classify(maps).float(),
            self.regress(maps).float(),
            anchors(grids, self._strides, _SIZES, maps[0].device),
            tuple(rows * columns * self._shapes for rows, columns in grids),
            (int(size[0]), int(size[1])),
            self._coder,
        )
        if targets is None:
            return output
        views = targets.to(maps[0].device).views
        return torch.stack([self._loss(output, i, view) for i, view in enumerate(views)]).sum()

    def _loss(self, output: RetinaOutput, view: int, objects: Objects) -> Tensor:
        """Return the loss of one view, divided by its own anchors with an object: `()`."""
        matches = matched(self._matcher, output.anchors, objects)
        place = (matches >= 0).nonzero()[:, 0]  # a GPU computes all before, so this is done once
        index = matches[place]
        wanted = torch.zeros_like(output.logits[view])
        wanted[place, objects.labels[index]] = 1.0
        classes: Tensor = sigmoid_focal_loss(output.logits[view], wanted)[matches != IGNORED].sum()
        deltas = self._coder.encode_single(objects.boxes[index], output.anchors[place])
        boxes = functional.l1_loss(output.deltas[view, place], deltas, reduction="sum")
        return (classes + boxes) / max(len(place), 1)
