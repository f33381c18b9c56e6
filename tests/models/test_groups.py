"""Rates and parameter groups."""

from __future__ import annotations

import pytest

from raytl.config.schema import ModelConfig, OptimConfig, TransferConfig
from raytl.models.backbone import Backbone, build
from raytl.models.freeze import learning
from raytl.models.groups import parameter_groups, rates

TRANSFER = TransferConfig(lr_decay=0.5, head_lr_ratio=10)


@pytest.fixture(scope="module")
def resnet() -> Backbone:
    return build(ModelConfig(name="test_resnet", weights="none"), 3)


def test_the_head_learns_at_the_rate_and_every_stage_below_at_its_ratio(resnet: Backbone) -> None:
    by_group = rates(resnet, TRANSFER, 0.1, depth=3)
    assert by_group == pytest.approx({"head": 0.1, "layer4": 0.01, "layer3": 0.005, "layer2": 0.0025})


def test_with_nothing_open_only_the_head_has_a_rate(resnet: Backbone) -> None:
    assert rates(resnet, TRANSFER, 0.1, depth=0) == {"head": 0.1}


@pytest.mark.parametrize("depth", [0, 1, 5])
def test_the_groups_hold_each_learning_parameter_once(resnet: Backbone, depth: int) -> None:
    groups = parameter_groups(resnet, TRANSFER, OptimConfig(), depth)
    names = [name for group in groups for name in group["names"]]
    assert len(names) == len(set(names))
    assert set(names) == learning(resnet, depth).names
    parameters = dict(resnet.module.named_parameters())
    assert all(parameters[n] is p for g in groups for n, p in zip(g["names"], g["params"], strict=True))


def test_norms_and_biases_have_no_weight_decay(resnet: Backbone) -> None:
    groups = parameter_groups(resnet, TRANSFER, OptimConfig(weight_decay=0.05), 5)
    decays = {name: group["weight_decay"] for group in groups for name in group["names"]}
    assert decays["layer4.0.bn1.weight"] == decays["fc.bias"] == 0.0
    assert decays["fc.weight"] == decays["conv1.0.weight"] == 0.05
    assert {g["group"] for g in groups} == {"head", "layer4", "layer3", "layer2", "layer1", "stem"}


def test_without_weight_decay_a_stage_is_one_group(resnet: Backbone) -> None:
    groups = parameter_groups(resnet, TRANSFER, OptimConfig(weight_decay=0), 1)
    assert [(g["group"], g["weight_decay"]) for g in groups] == [("head", 0.0), ("layer4", 0.0)]


@pytest.mark.parametrize(
    ("name", "spared"),
    [
        ("test_vit", {"cls_token", "pos_embed"}),
        ("torchvision:swin_t", {"features.1.0.attn.relative_position_bias_table"}),
    ],
)
def test_embeddings_that_the_model_excepts_have_no_weight_decay(name: str, spared: set[str]) -> None:
    built = build(ModelConfig(name=name, weights="none"), 3)
    groups = parameter_groups(built, TRANSFER, OptimConfig(weight_decay=0.05), len(built.stages))
    without = {n for g in groups if g["weight_decay"] == 0 for n in g["names"]}
    assert spared <= without
