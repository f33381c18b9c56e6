"""A network takes the channels of a pruned state dict."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raytl.models.pruned import fit_channels


def network(channels: int, groups: int = 4, outputs: int = 3) -> nn.Sequential:
    """Return a network of every kind of layer that has channels, with so many of them."""
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1),
        nn.BatchNorm2d(channels),
        nn.Conv2d(channels, channels, 3, groups=channels),  # depthwise
        nn.Conv2d(channels, 2 * channels, 3, groups=groups),
        nn.GroupNorm(2, 2 * channels),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.LayerNorm(2 * channels),
        nn.Linear(2 * channels, outputs),
    )


def logits(module: nn.Module) -> Tensor:
    """Return what the network answers to an image."""
    with torch.inference_mode():
        return module.eval()(torch.linspace(-1, 1, 3 * 64).view(1, 3, 8, 8))


def test_a_network_with_the_channels_of_a_state_dict_answers_as_its_network() -> None:
    small, large = network(8), network(16)
    large[0].requires_grad_(requires_grad=False)
    fit_channels(large, small.state_dict())
    assert repr(large) == repr(small), "layers state their channels"
    large.load_state_dict(small.state_dict())
    assert torch.equal(logits(large), logits(small))
    assert [each.requires_grad for each in large.parameters()][:3] == [False, False, True]


def test_a_depthwise_convolution_keeps_its_outputs_for_each_channel() -> None:
    small, large = nn.Conv2d(4, 8, 3, groups=4), nn.Conv2d(6, 12, 3, groups=6)
    fit_channels(large, small.state_dict())
    assert (large.in_channels, large.out_channels, large.groups) == (4, 8, 4)


def test_the_kernel_of_a_convolution_stays() -> None:
    large = nn.Conv2d(6, 12, 3)
    fit_channels(large, {"weight": torch.zeros(8, 4, 1, 1)})
    assert large.weight.shape == (12, 6, 3, 3)


def test_the_outputs_of_the_head_stay() -> None:
    large = network(16, outputs=5)
    fit_channels(large, network(8).state_dict(), ("8.weight", "8.bias"))
    assert (large[8].in_features, large[8].out_features) == (16, 5) and logits(large).shape == (1, 5)


def test_tensors_of_another_network_stay_for_the_loader_to_report() -> None:
    small = network(8)
    before = repr(small)
    fit_channels(small, network(16).state_dict())
    fit_channels(small, {"0.weight": torch.zeros(2), "none": torch.zeros(2)})
    assert repr(small) == before
