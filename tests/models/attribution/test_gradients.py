from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from raytl.models.attribution.gradients import CELLS, integrated_gradients, summed_gradients
from raytl.tasks.explaining import class_logits
from tests.models.attribution.networks import correlation, images, network, randomized

PLACES = torch.tensor([2, 0])


def test_the_values_add_up_to_the_difference_of_scores() -> None:
    backbone, inputs = network("test_resnet", 32), images(2, 32)
    values = integrated_gradients(backbone, inputs, PLACES, class_logits)
    with torch.no_grad():
        ends = [class_logits(backbone.module(each), PLACES) for each in (inputs, torch.zeros_like(inputs))]
    torch.testing.assert_close(values.sum(dim=(1, 2)), ends[0] - ends[1], rtol=0.02, atol=0.002)


def test_of_a_linear_network_they_are_weight_times_input() -> None:
    torch.manual_seed(0)
    body, head = nn.Flatten(), nn.Linear(3 * 8 * 8, 3, bias=False)
    backbone = replace(network("test_resnet", 32), module=nn.Sequential(body, head))
    expected = (head.weight.detach()[PLACES].reshape(2, 3, 8, 8) * images(2, 8)).sum(dim=1)
    found = integrated_gradients(backbone, images(2, 8), PLACES, class_logits, steps=2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_pixels_are_averaged_over_cells() -> None:
    backbone, inputs = network("test_resnet", 56), images(2, 56)
    cells = summed_gradients(backbone, inputs, PLACES, class_logits)
    pixels = integrated_gradients(backbone, inputs, PLACES, class_logits)
    assert cells.shape == (2, CELLS, CELLS)
    torch.testing.assert_close(cells, pixels.reshape(2, CELLS, 2, CELLS, 2).mean(dim=(2, 4)), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("part", ["head", pytest.param("top stage", marks=pytest.mark.thorough)])
def test_a_randomized_network_has_another_map(part: str) -> None:
    maps = [
        summed_gradients(backbone, images(2, 32), PLACES, class_logits)
        for backbone in (network("test_resnet", 32), randomized("test_resnet", 32, part))
    ]
    assert correlation(*maps) < 0.8
