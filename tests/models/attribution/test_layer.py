from __future__ import annotations

import torch
from torch import Tensor, nn

from raytl.models.attribution.layer import MapLayer, map_layer
from tests.models.attribution.networks import handmade, network


class Maps(nn.Module):
    """A map, NHWC on request, pooled into logits; with `skip`, the mean of the image reaches the logits past the map."""

    def __init__(self, channels_last: bool = False, skip: bool = False) -> None:
        super().__init__()
        self.body = Body(channels_last)
        self.head = nn.Linear(4, 2)
        self.channels_last, self.skip = channels_last, skip

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images).mean(dim=(1, 2) if self.channels_last else (2, 3)))
        return logits + images.mean(dim=(1, 2, 3))[:, None] if self.skip else logits


class Body(nn.Module):
    def __init__(self, channels_last: bool) -> None:
        super().__init__()
        self.filters = nn.Conv2d(3, 4, 4, stride=4)
        self.channels_last = channels_last

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.filters(images)
        return maps.permute(0, 2, 3, 1) if self.channels_last else maps


def test_the_layer_is_the_last_map_of_the_stages() -> None:
    assert map_layer(network("test_resnet", 96)) == MapLayer("layer4", (3, 3))


def test_channels_may_come_last() -> None:
    torch.manual_seed(0)
    layer = map_layer(handmade(Maps(channels_last=True), 24))
    assert layer == MapLayer("body", (6, 6), channels_last=True)
    assert layer.as_nchw(torch.zeros(2, 6, 5, 4)).shape == (2, 4, 6, 5)


def test_a_map_that_the_answer_can_pass_by_is_no_layer() -> None:
    torch.manual_seed(0)
    assert map_layer(handmade(Maps(), 24)) == MapLayer("body", (6, 6))
    assert map_layer(handmade(Maps(skip=True), 24)) is None


def test_a_map_of_few_cells_is_no_layer() -> None:
    assert map_layer(network("test_resnet", 64)) is None


def test_the_map_below_the_tokens_of_a_vit_is_no_layer() -> None:
    assert map_layer(network("test_vit", 64)) is None


def test_the_search_leaves_no_hooks() -> None:
    backbone = network("test_resnet", 96)
    map_layer(backbone)
    assert not any(part._forward_hooks for part in backbone.module.modules())
