"""The second stage of Faster and Mask R-CNN: classes, boxes and masks of proposed regions.

Source: Ren et al. 2015, He et al. 2017; the layers, pooling, matching, coding and suppression are torchvision's. The loss of
each image is divided by its own samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import clip_boxes_to_image, remove_small_boxes, roi_align

from raytl.tasks.detection.anchors import matched, sampled
from raytl.tasks.detection.pooling import pooled, region_pool
from raytl.tasks.detection.proposals import BETA, Proposals
from raytl.tasks.detection.suppression import suppressed
from raytl.tasks.objects import Limits, ObjectBatch, Objects, Predicted, seeds

SAMPLES = 128
"""Regions of an image that learn; torchvision takes 512, of images ten times this size."""
_FRACTION = 0.25
_WIDTH = 512
"""Features of a region."""
_BOX_PX, _MASK_PX = 7, 14
_MIN_SIDE = 1e-2


@dataclass(frozen=True, slots=True)
class Sampled:
    """The regions of a view that learn: their boxes, and the index of the object of each, or BACKGROUND."""

    boxes: Tensor
    matches: Tensor


@dataclass(frozen=True, slots=True)
class RegionOutput:
    """The raw predictions of a batch: for each view its `proposals (n, 4)`, `logits (n, 1 + classes)`, the background
    first, and `deltas (n, 1 + classes, 4)`."""

    proposals: list[Tensor]
    logits: list[Tensor]
    deltas: list[Tensor]
    size: tuple[int, int]
    maps: list[Tensor]
    head: RegionHead

    def decode(self, limits: Limits) -> list[Predicted]:
        """Return the objects of each view, with masks if the head predicts them."""
        objects = self.objects(limits)
        return self.head.masked(self.maps, objects, self.size) if self.head.masks else objects

    def objects(self, limits: Limits) -> list[Predicted]:
        """Return the objects of each view without masks."""
        return [self._decode_view(i, limits) for i in range(len(self.proposals))]

    def _decode_view(self, view: int, limits: Limits) -> Predicted:
        scores = self.logits[view].softmax(dim=1)[:, 1:]
        boxes = self.head.coder.decode_single(self.deltas[view].flatten(1), self.proposals[view])
        boxes = clip_boxes_to_image(boxes.unflatten(1, (-1, 4))[:, 1:], list(self.size))
        place, label = (scores > limits.score).nonzero(as_tuple=True)
        chosen, certain = boxes[place, label], scores[place, label]
        large = remove_small_boxes(chosen, _MIN_SIDE)
        chosen, certain, label = chosen[large], certain[large], label[large]
        best = suppressed(chosen, certain, label, limits.nms_iou, limits.max_detections, max(self.size))
        return Predicted(chosen[best], label[best], certain[best])


class RegionHead(nn.Module):
    """Proposals and regions on maps of equal `channels` with `strides`; the last map serves proposals only.

    With `masks`, each region also gets a mask.
    """

    def __init__(self, channels: int, strides: Sequence[float], classes: int, masks: bool = False) -> None:
        super().__init__()
        self.masks = masks
        self.kind = "mask_rcnn" if masks else "faster_rcnn"
        self.proposals = Proposals(channels, strides)
        self.features = TwoMLPHead(channels * _BOX_PX**2, _WIDTH)
        self.predict = _predictor(_WIDTH, classes)
        self.box_pool = region_pool(strides[:-1], _BOX_PX)
        self.matcher, self.coder = Matcher(0.5, 0.5), BoxCoder((10.0, 10.0, 5.0, 5.0))
        if masks:
            self.mask_pool = region_pool(strides[:-1], _MASK_PX)
            self.mask_layers = MaskRCNNHeads(channels, (channels,) * 4, 1)
            self.mask_predict = MaskRCNNPredictor(channels, channels, classes)

    def forward(
        self,
        maps: Sequence[Tensor],
        size: Sequence[int],
        targets: ObjectBatch | None = None,
        ids: Tensor | None = None,
    ) -> RegionOutput | Tensor:
        """Return the predictions, or with `targets` and `ids` the loss summed over the views: `()`."""
        raw = self.proposals(maps)
        view_size = (int(size[0]), int(size[1]))
        pooled = [value.float() for value in maps[:-1]]
        boxes = self.proposals.boxes(raw, view_size)
        if targets is None:
            logits, deltas = self._regions(pooled, boxes, view_size)
            return RegionOutput(boxes, logits, deltas, view_size, pooled, self)
        assert ids is not None, "the samples of a view are drawn from its id"
        views = targets.to(maps[0].device).views
        generators = [torch.Generator().manual_seed(seed) for seed in seeds(targets, ids)]
        first = [
            self.proposals.loss(raw, i, view, g) for i, (view, g) in enumerate(zip(views, generators, strict=True))
        ]
        regions = [self._sampled(*each) for each in zip(boxes, views, generators, strict=True)]
        total = torch.stack(first).sum() + self._region_loss(pooled, regions, views, view_size)
        return total + self._mask_loss(pooled, regions, views, view_size) if self.masks else total

    def _sampled(self, boxes: Tensor, objects: Objects, generator: torch.Generator) -> Sampled:
        """Return random regions of a view; its objects are regions too, so that some have an object from the start."""
        candidates = torch.cat([boxes, objects.boxes[~objects.crowd]])
        matches = matched(self.matcher, candidates, objects)
        chosen = torch.cat(sampled(matches, SAMPLES, _FRACTION, generator))
        return Sampled(candidates[chosen], matches[chosen])

    def _regions(
        self, maps: Sequence[Tensor], boxes: Sequence[Tensor], size: tuple[int, int]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return logits `(n, 1 + classes)` and deltas `(n, 1 + classes, 4)` of the boxes of each view."""
        logits, deltas = self.predict(self.features(pooled(self.box_pool, maps, boxes, size)))
        counts = [own.shape[0] for own in boxes]
        shaped = deltas.float().unflatten(1, (-1, 4))
        return list(logits.float().split(counts)), list(shaped.split(counts))

    def _region_loss(
        self, maps: Sequence[Tensor], regions: Sequence[Sampled], views: Sequence[Objects], size: tuple[int, int]
    ) -> Tensor:
        logits, deltas = self._regions(maps, [own.boxes for own in regions], size)
        losses = []
        for own, scores, moves, objects in zip(regions, logits, deltas, views, strict=True):
            positive = (own.matches >= 0).nonzero()[:, 0]
            matches = own.matches[positive]
            labels = torch.zeros_like(own.matches)
            labels[positive] = objects.labels[matches] + 1
            wanted = self.coder.encode_single(objects.boxes[matches], own.boxes[positive])
            boxes = functional.smooth_l1_loss(moves[positive, labels[positive]], wanted, beta=BETA, reduction="sum")
            losses.append((functional.cross_entropy(scores, labels, reduction="sum") + boxes) / max(len(labels), 1))
        return torch.stack(losses).sum()

    def _mask_loss(
        self, maps: Sequence[Tensor], regions: Sequence[Sampled], views: Sequence[Objects], size: tuple[int, int]
    ) -> Tensor:
        places = [(own.matches >= 0).nonzero()[:, 0] for own in regions]
        positive = [Sampled(own.boxes[at], own.matches[at]) for own, at in zip(regions, places, strict=True)]
        counts = [len(own.boxes) for own in positive]
        logits = self._mask_logits(maps, [own.boxes for own in positive], size).split(counts)
        losses = [_mask_loss(*each) for each in zip(logits, positive, views, strict=True)]
        return torch.stack(losses).sum()

    def _mask_logits(self, maps: Sequence[Tensor], boxes: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Return the logits `(n, classes, 28, 28) float32` of the masks in all boxes."""
        return cast(Tensor, self.mask_predict(self.mask_layers(pooled(self.mask_pool, maps, boxes, size)))).float()

    def masked(self, maps: Sequence[Tensor], objects: Sequence[Predicted], size: tuple[int, int]) -> list[Predicted]:
        """Return the objects with their masks, pasted into the view."""
        masks = self.box_masks(maps, objects, size)
        return [replace(own, masks=_pasted(part, own.boxes, size)) for own, part in zip(objects, masks, strict=True)]

    def box_masks(self, maps: Sequence[Tensor], objects: Sequence[Predicted], size: tuple[int, int]) -> list[Tensor]:
        """Return the probability of each cell of the boxes of each view to belong to their object, `(n, 28, 28)`."""
        logits = self._mask_logits(maps, [own.boxes for own in objects], size)
        labels = torch.cat([own.labels for own in objects])
        chosen = logits.gather(1, labels[:, None, None, None].expand(-1, 1, *logits.shape[2:]))[:, 0]
        return list(chosen.sigmoid().split([own.boxes.shape[0] for own in objects]))


def _pasted(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    pasted: Tensor = paste_masks_in_image(masks[:, None], boxes, size)[:, 0]
    return pasted


def _mask_loss(logits: Tensor, regions: Sampled, objects: Objects) -> Tensor:
    """Return the mean cross-entropy of the masks of one view: `()`."""
    assert objects.masks is not None, "the objects of instance segmentation have masks"
    if not len(logits):
        return logits.sum()
    places = torch.cat([regions.matches[:, None].to(regions.boxes), regions.boxes], dim=1)
    wanted = roi_align(objects.masks[:, None].float(), places, logits.shape[-1], 1.0)[:, 0]
    chosen = logits[torch.arange(len(logits), device=logits.device), objects.labels[regions.matches]]
    return functional.binary_cross_entropy_with_logits(chosen, wanted)


def _predictor(width: int, classes: int) -> FastRCNNPredictor:
    predictor = FastRCNNPredictor(width, classes + 1)
    for layer, std in ((predictor.cls_score, 0.01), (predictor.bbox_pred, 0.001)):
        nn.init.normal_(layer.weight, std=std)
        nn.init.zeros_(layer.bias)
    return predictor
