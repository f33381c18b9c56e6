"""The region proposal network of Faster R-CNN, with the loss of each image on its own.

Source: Ren et al. 2015; the layers, matching, coding and suppression are torchvision's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import clip_boxes_to_image, remove_small_boxes

from raytl.tasks.detection.anchors import RATIOS, anchors, matched, sampled
from raytl.tasks.detection.suppression import suppressed
from raytl.tasks.objects import Objects

SIZE = 8.0
"""The side of a square anchor, in strides of its map: 32 pixels on the map of stride 4."""
_SAMPLES, _FRACTION = 256, 0.5
_BEFORE, _AFTER = 1000, {True: 500, False: 300}
"""Candidates of a map that enter the suppression, and proposals that leave it, in training and evaluation."""
_NMS_IOU, _MIN_SIDE = 0.7, 1e-3
BETA = 1 / 9
"""Where the smooth L1 loss turns from square to linear, as in torchvision."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """The raw proposals of a batch: `scores (b, n)` and `deltas (b, n, 4)` float32 for `anchors (n, 4)`; `counts` by
    map."""

    scores: Tensor
    deltas: Tensor
    anchors: Tensor
    counts: tuple[int, ...]


class Proposals(nn.Module):
    """The network on maps of equal `channels` with `strides`."""

    def __init__(self, channels: int, strides: Sequence[float]) -> None:
        super().__init__()
        self.layers = RPNHead(channels, len(RATIOS))
        self._strides = tuple(strides)
        self._matcher = Matcher(0.7, 0.3, allow_low_quality_matches=True)
        self._coder = BoxCoder((1.0, 1.0, 1.0, 1.0))

    def forward(self, maps: Sequence[Tensor]) -> Proposed:
        """Return the raw proposals."""
        scores, deltas = self.layers(maps)
        grids = [(value.shape[-2], value.shape[-1]) for value in maps]
        boxes = anchors(grids, self._strides, [SIZE], maps[0].device)
        flat = torch.cat([value.permute(0, 2, 3, 1).flatten(1) for value in scores], dim=1)
        moves = torch.cat([value.permute(0, 2, 3, 1).reshape(len(value), -1, 4) for value in deltas], dim=1)
        counts = tuple(rows * columns * len(RATIOS) for rows, columns in grids)
        return Proposed(flat.float(), moves.float(), boxes, counts)

    @torch.no_grad()
    def boxes(self, raw: Proposed, size: Sequence[int]) -> list[Tensor]:
        """Return the proposed boxes of each view, the best first: `(n, 4)` within the view of `size` (height, width)."""
        return [self._boxes(raw, scores, deltas, size) for scores, deltas in zip(raw.scores, raw.deltas, strict=True)]

    def _boxes(self, raw: Proposed, scores: Tensor, deltas: Tensor, size: Sequence[int]) -> Tensor:
        parts = scores.split(list(raw.counts))
        ranked = [part.topk(min(_BEFORE, len(part))).indices for part in parts]
        level = torch.cat([torch.full_like(best, number) for number, best in enumerate(ranked)])
        starts = torch.tensor([0, *raw.counts[:-1]], device=level.device).cumsum(dim=0)
        places = torch.cat(ranked) + starts[level]
        moved = self._coder.decode_single(deltas[places], raw.anchors[places])
        boxes: Tensor = clip_boxes_to_image(moved, [int(side) for side in size])
        large = remove_small_boxes(boxes, _MIN_SIDE)
        boxes, places, level = boxes[large], places[large], level[large]
        return boxes[suppressed(boxes, scores[places], level, _NMS_IOU, _AFTER[self.training], max(size))]

    def loss(self, raw: Proposed, view: int, objects: Objects, generator: torch.Generator) -> Tensor:
        """Return the loss of one view, divided by its own samples: `()`."""
        matches = matched(self._matcher, raw.anchors, objects)
        positive, negative = sampled(matches, _SAMPLES, _FRACTION, generator)
        chosen = torch.cat([positive, negative])
        wanted = torch.cat([torch.ones_like(positive), torch.zeros_like(negative)]).float()
        scores = functional.binary_cross_entropy_with_logits(raw.scores[view, chosen], wanted, reduction="sum")
        deltas = self._coder.encode_single(objects.boxes[matches[positive]], raw.anchors[positive])
        boxes = functional.smooth_l1_loss(raw.deltas[view, positive], deltas, beta=BETA, reduction="sum")
        return (scores + boxes) / max(len(chosen), 1)
