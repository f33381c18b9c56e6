"""Grad-CAM (Selvaraju et al. 2017): the channels of a map, weighted by their mean gradient; negative evidence is dropped.

Costs one forward pass and the backward pass of the head: gradients begin at the map.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from raytl.models.attribution.layer import MapLayer, hooked
from raytl.models.attribution.scoring import Scores
from raytl.models.backbone import Backbone


def grad_cam(backbone: Backbone, layer: MapLayer, inputs: Tensor, places: Tensor, scores: Scores) -> Tensor:
    """Return the evidence in each cell of the map, `(b, rows, columns)`, not negative."""
    leaves: list[Tensor] = []

    def detach(part: nn.Module, given: Any, output: Tensor) -> Tensor:
        leaves.append(output.detach().requires_grad_())
        torch.set_grad_enabled(True)  # until the block below ends
        return leaves[-1].clone()  # the next layer may work in place

    with torch.no_grad(), hooked(backbone.module.get_submodule(layer.name), detach):
        score = scores(backbone.module(inputs), places).sum()
    (gradient,) = torch.autograd.grad(score, leaves[-1])
    maps, weights = layer.as_nchw(leaves[-1].detach()), layer.as_nchw(gradient).mean(dim=(2, 3), keepdim=True)
    return (maps * weights).sum(dim=1).relu()
