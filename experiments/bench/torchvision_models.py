"""torchvision's FCOS and Mask R-CNN with the body, neck and layer sizes of raytl's networks, and their training step.

The transform, anchors, matching, sampling, losses and suppression are torchvision's, at its defaults. The optimizer and the
step are those of its reference scripts (references/detection: train.py, engine.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torchvision.models.detection import FCOS, MaskRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

from raytl.models.backbone import Backbone

CONVS, REGION_FEATURES = 2, 512
"""Layers of a tower of FCOS, and features of a region, as in raytl; the defaults of torchvision are 4 and 1,024."""
SCORE = 0.05
"""COCO's metrics need a low threshold; FCOS of torchvision has 0.2."""


class Maps(nn.Module):
    """The pyramid and the neck of one of raytl's networks as torchvision's detectors want them: maps by name."""

    def __init__(self, network: Backbone) -> None:
        super().__init__()
        dense = cast(Any, network.module)
        self.pyramid, self.neck = dense.pyramid, dense.neck
        self.out_channels: int = dense.neck.channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the maps `(b, channels, h, w)`, from fine to coarse."""
        return {str(i): value for i, value in enumerate(self.neck(self.pyramid(images)))}


def fcos(network: Backbone, classes: int, short_px: int, long_px: int) -> FCOS:
    """Return FCOS on the maps of `network`, for labels from 0. Images are resized to `short_px`, at most to `long_px`."""
    maps = Maps(network)
    head = FCOSHead(maps.out_channels, 1, classes, CONVS)
    return FCOS(maps, classes, min_size=short_px, max_size=long_px, head=head, score_thresh=SCORE)


def mask_rcnn(network: Backbone, classes: int, short_px: int, long_px: int) -> MaskRCNN:
    """Return Mask R-CNN on the maps of `network`, for labels from 1. Images are resized as by `fcos`."""
    maps = Maps(network)
    channels = maps.out_channels
    return MaskRCNN(
        maps,
        min_size=short_px,
        max_size=long_px,
        box_head=TwoMLPHead(channels * 7**2, REGION_FEATURES),
        box_predictor=FastRCNNPredictor(REGION_FEATURES, classes + 1),
        mask_head=MaskRCNNHeads(channels, (channels,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(channels, channels, classes + 1),
    )


def sgd(model: nn.Module, rate: float) -> Optimizer:
    """Return the optimizer of the reference scripts for the parameters that train."""
    return SGD([p for p in model.parameters() if p.requires_grad], rate, momentum=0.9, weight_decay=1e-4)


def step(
    model: nn.Module,
    optimizer: Optimizer,
    images: Sequence[Tensor],
    targets: Sequence[dict[str, Tensor]],
    precision: torch.dtype = torch.float32,
) -> float:
    """Train on images `(3, h, w) float32` from 0 to 1 and their targets on the CPU; return the loss.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        losses: dict[str, Tensor] = model(list(images), list(targets))
    loss = torch.stack([value.float() for value in losses.values()]).sum()
    if not torch.isfinite(loss):
        raise FloatingPointError(f"loss {float(loss)}; expected a finite one. Lower the learning rate")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())
