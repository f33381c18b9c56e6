"""Pyramid: the maps of any backbone, with the channels and strides that it says."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision.models as zoo
from torch import nn

from raytl.errors import ModelError
from raytl.models.pyramid import Level, chosen, pyramid

SIDES = (96, 160)


def created(name: str) -> nn.Module:
    library, _, model = name.rpartition(":")
    if library:
        return zoo.get_model(model, weights=None, num_classes=2)
    options: tuple[dict[str, bool], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})
    for option in options:
        try:
            return timm.create_model(name, num_classes=2, **option)  # type: ignore[arg-type]
        except TypeError:
            continue
    raise AssertionError(name)


def check(name: str, finest: int) -> list[int]:
    """The strides of the maps, after their shapes were compared with their levels."""
    maps = pyramid(created(name), finest).eval()
    with torch.no_grad():
        found = maps(torch.zeros(1, 3, *SIDES))
    for value, level in zip(found, maps.levels, strict=True):
        rows, columns = (-(-side // level.stride) for side in SIDES)
        assert value.shape == (1, level.channels, rows, columns), (name, level)
    return [level.stride for level in maps.levels]


@pytest.mark.parametrize(
    ("name", "strides"),
    [
        ("test_resnet", [8, 16, 32]),
        ("mobilenetv2_100", [8, 16, 32]),
        ("test_vit", [16]),
        ("torchvision:shufflenet_v2_x0_5", [8, 16, 32]),
    ],
)
def test_the_maps_have_the_channels_and_strides_that_the_levels_say(name: str, strides: list[int]) -> None:
    assert check(name, finest=8) == strides


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name",
    [
        "convnext_atto",
        "edgenext_xx_small",
        "swin_tiny_patch4_window7_224",
        "vgg11",
        "densenet121",
        "efficientnet_b0",
        "regnety_002",
        "mobilenetv3_small_050",
        "mobileone_s0",
        "pvt_v2_b0",
        "fastvit_t8",
        "ghostnet_050",
        "repvgg_a0",
        "mobilevit_xxs",
        "twins_svt_small",
        "poolformerv2_s12",
        "mixnet_s",
        "dla34",
        "hrnet_w18_small",
        "inception_next_atto",
        "tiny_vit_5m_224",
        "efficientvit_b0",
        "resnetv2_50",
        "mobilenetv4_conv_small_050",
        "hgnetv2_b0",
        "rexnet_100",
        "starnet_s1",
        "lcnet_050",
        "torchvision:resnet18",
        "torchvision:mobilenet_v2",
        "torchvision:swin_t",
        "torchvision:vgg11",
        "torchvision:densenet121",
        "torchvision:convnext_tiny",
        "torchvision:regnet_y_400mf",
        "torchvision:efficientnet_b0",
        "torchvision:mnasnet0_5",
    ],
)
def test_forty_families_have_maps_of_the_strides_4_to_32(name: str) -> None:
    assert check(name, finest=4) == [4, 8, 16, 32]


def test_the_parts_above_the_maps_are_removed_and_the_tensors_are_shared() -> None:
    module = created("mobilenetv2_100")
    body = pyramid(module, 8).body
    own = dict(module.named_parameters())
    assert all(parameter is own[name] for name, parameter in body.named_parameters())
    assert {name.split(".")[0] for name in own.keys() - dict(body.named_parameters()).keys()} == {
        "conv_head",
        "bn2",
        "classifier",
    }


def test_the_last_map_of_each_octave_is_taken() -> None:
    found = [Level(8, 1), Level(8, 2), Level(16, 4), Level(24, 4), Level(32, 14), Level(40, 32), Level(48, 64)]
    assert chosen(found, finest=4) == [3, 4, 5]
    assert chosen([Level(8, 2), Level(16, 64)], finest=4) == [1]


def test_a_network_without_maps_is_refused() -> None:
    with pytest.raises(ModelError, match="VisionTransformer has no feature maps"):
        pyramid(zoo.VisionTransformer(32, 16, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=8), 8)
