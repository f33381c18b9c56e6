"""A network cut at the freeze boundary computes what the whole one does, to the last bit."""

from __future__ import annotations

import pytest
import torch

from raytl.config.schema import ModelConfig, OptimConfig, PreprocessOverride, TransferConfig
from raytl.models.backbone import Backbone, build
from raytl.models.freeze import apply_freeze
from raytl.models.groups import parameter_groups
from raytl.models.prefix import NotTraceable, between, split_model, suffix_backbone

MODELS = {
    "resnet18": 64,
    "mobilenetv2_100": 64,
    "mobilenetv3_small_050": 64,
    "convnext_atto": 64,
    "efficientnet_lite0": 64,
    "vit_tiny_patch16_224": 224,
    "torchvision:resnet18": 64,
    "torchvision:mobilenet_v3_small": 64,
}
THOROUGH = ("mobilenetv3_small_050", "efficientnet_lite0", "torchvision:resnet18")
"""Those that resemble one of the others."""
EACH = [pytest.param(*item, marks=pytest.mark.thorough if item[0] in THOROUGH else []) for item in MODELS.items()]


def build_pair(name: str, px: int) -> tuple[Backbone, torch.Tensor]:
    torch.manual_seed(0)
    config = ModelConfig(name=name, weights="none", preprocess=PreprocessOverride(image_px=px))
    backbone = build(config, 5)
    layout = torch.channels_last if backbone.convolutional else torch.contiguous_format
    backbone.module.to(memory_format=layout)  # type: ignore[call-overload]
    return backbone, torch.randn(3, 3, px, px).to(memory_format=layout)


@pytest.mark.parametrize(("name", "px"), EACH)
def test_the_halves_give_the_logits_of_the_whole(name: str, px: int) -> None:
    backbone, images = build_pair(name, px)
    backbone.module.eval()
    with torch.no_grad():
        wanted = backbone.module(images)
        for depth in (0, 1, len(backbone.stages) // 2, len(backbone.stages) - 1):
            halves = split_model(backbone, depth)
            rows = halves.prefix(images)
            assert rows.shape == (3, halves.width)
            assert torch.equal(halves.suffix(rows), wanted), f"depth {depth}"


@pytest.mark.parametrize(("name", "px"), EACH)
def test_rows_of_a_deeper_cut_go_on_to_those_of_a_shallower_one(name: str, px: int) -> None:
    backbone, images = build_pair(name, px)
    backbone.module.eval()
    deeper, highest = len(backbone.stages) // 2, len(backbone.stages) - 1
    with torch.no_grad():
        for start, end in ((highest, deeper), (deeper, 1), (deeper, 0), (highest, highest - 1)):
            if start > end:
                rows = between(backbone, start, end)(split_model(backbone, start).prefix(images))
                assert torch.equal(rows, split_model(backbone, end).prefix(images)), (start, end)


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_the_halves_in_bfloat16_give_the_logits_of_the_whole(name: str) -> None:
    backbone, images = build_pair(name, MODELS[name])
    backbone.module.eval()
    halves = split_model(backbone, 2)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(halves.suffix(halves.prefix(images)), backbone.module(images))


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_100", "vit_tiny_patch16_224"])
def test_training_the_top_alone_gives_the_gradients_of_the_whole(name: str) -> None:
    backbone, images = build_pair(name, MODELS[name])
    apply_freeze(backbone, 1)
    backbone.module.train()
    backbone.module(images).square().sum().backward()
    wanted = {n: p.grad.clone() for n, p in backbone.module.named_parameters() if p.grad is not None}
    again, _ = build_pair(name, MODELS[name])
    apply_freeze(again, 1)
    halves = split_model(again, 1)
    top = suffix_backbone(again, halves)
    top.module.train()
    with torch.no_grad():
        rows = halves.prefix(images)
    top.module(rows).square().sum().backward()
    gradients = {n: p.grad for n, p in top.module.named_parameters() if p.grad is not None}
    assert gradients.keys() == wanted.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(gradient, wanted[key], rtol=1e-5, atol=1e-6)


def test_the_top_shares_its_parameters_with_the_whole_and_can_be_frozen_and_grouped() -> None:
    backbone, _ = build_pair("resnet18", 64)
    top = suffix_backbone(backbone, split_model(backbone, 2))
    whole = dict(backbone.module.named_parameters())
    assert len(top.stages) == 2
    assert all(whole[name] is parameter for name, parameter in top.module.named_parameters())
    for depth in (0, 2):
        apply_freeze(top, depth)
        groups = parameter_groups(top, TransferConfig(unfreeze=2), OptimConfig(), depth)
        assert {group["group"] for group in groups} == {"head", *(stage.name for stage in top.stages[2 - depth :])}


def test_the_top_excludes_from_weight_decay_what_the_whole_does() -> None:
    backbone, _ = build_pair("test_resnet", 64)
    excluded = [name for name, _ in backbone.module.named_parameters() if name.endswith("conv1.weight")]
    backbone.module.no_weight_decay = lambda: set(excluded)  # type: ignore[assignment]
    transfer, optim = TransferConfig(unfreeze=1), OptimConfig(weight_decay=0.05)
    whole, top = (
        {name: group["weight_decay"] for group in parameter_groups(each, transfer, optim, 1) for name in group["names"]}
        for each in (backbone, suffix_backbone(backbone, split_model(backbone, 1)))
    )
    assert whole == top and whole[excluded[-1]] == 0.0


def test_going_on_from_a_deeper_cut_in_training_leaves_what_is_frozen_in_evaluation() -> None:
    backbone, images = build_pair("resnet18", 64)
    backbone.module.train()
    halves = split_model(backbone, 1)
    with torch.no_grad():
        before = halves.prefix(images)
        between(backbone, 3, 1)
        assert not any(part.training for part in halves.prefix.modules())
        assert torch.equal(halves.prefix(images), before)


def test_cutting_leaves_the_modes_as_they_were() -> None:
    backbone, _ = build_pair("resnet18", 64)
    apply_freeze(backbone, 1)
    backbone.module.train()
    before = {name: part.training for name, part in backbone.module.named_modules()}
    split_model(backbone, 1)
    assert {name: part.training for name, part in backbone.module.named_modules()} == before


def test_pools_before_the_head_are_computed_below_the_cut() -> None:
    backbone, _ = build_pair("resnet18", 64)
    assert split_model(backbone, 0).width == 512


def test_a_network_that_cannot_be_traced_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, _ = build_pair("resnet18", 64)
    monkeypatch.setattr(type(backbone.module), "forward", lambda self, x: x if x.sum() > 0 else -x)
    with pytest.raises(NotTraceable, match="resnet18 cannot be traced"):
        split_model(backbone, 1)
