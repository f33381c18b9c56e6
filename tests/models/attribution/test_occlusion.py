from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from raytl.models.attribution.occlusion import occlusion
from raytl.models.backbone import Backbone
from raytl.tasks.explaining import class_logits
from tests.models.attribution.networks import correlation, handmade, images, network, randomized

PX, CELLS = 32, 8


class Corner(nn.Module):
    """Logits from the brightness of one cell, the second row and third column; the second class is its negative."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 1, 1)
        self.calls = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        cell = inputs[:, :, 4:8, 8:12].mean(dim=(1, 2, 3))
        return torch.stack([cell, -cell], dim=1)


def corner() -> Backbone:
    return handmade(Corner(), PX)


def test_the_score_falls_where_the_evidence_is_covered() -> None:
    inputs = torch.ones(2, 3, PX, PX)
    found = occlusion(corner(), inputs, torch.tensor([0, 1]), class_logits)
    expected = torch.zeros(CELLS, CELLS)
    expected[:3, 1:4] = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4  # of four squares over a cell
    torch.testing.assert_close(found[0], expected)
    torch.testing.assert_close(found[1], -expected)  # evidence against the class


def test_a_corner_is_covered_as_often_as_the_center() -> None:
    module: Any = Corner()
    module.forward = lambda inputs: inputs.mean(dim=(1, 2, 3))[:, None]
    found = occlusion(handmade(module, PX), torch.ones(1, 3, PX, PX), torch.tensor([0]), class_logits)
    inner = float(found[0, 4, 4])
    assert inner == found[0, 3, 3]
    assert 0.5 * inner < float(found[0, 0, 0]) < inner  # squares that reach beyond the border cover less


def test_the_cost_is_one_forward_pass_a_square_and_one_for_the_whole() -> None:
    backbone = corner()
    occlusion(backbone, torch.ones(3, 3, PX, PX), torch.tensor([0, 1, 0]), class_logits)
    assert backbone.module.calls == (CELLS + 1) ** 2 + 1


def test_a_randomized_head_changes_the_map() -> None:
    places = torch.tensor([2, 0])
    maps = [
        occlusion(backbone, images(2, PX), places, class_logits, cells=4)
        for backbone in (network("test_resnet", PX), randomized("test_resnet", PX, "head"))
    ]
    assert correlation(*maps) < 0.8
