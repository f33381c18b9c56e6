from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.vision_transformer import VisionTransformer

from raytl.models import torchvision_family
from raytl.models.attribution.attention import Tokens, attention_of, tokens_of
from raytl.models.attribution.rollout import rollout
from raytl.models.backbone import Backbone
from tests.models.attribution.networks import correlation, handmade, images, network, randomize, randomized

PX = 64


@pytest.fixture(scope="module")
def vit() -> Backbone:
    return network("test_vit", PX)


@pytest.fixture
def torchvision_vit() -> Backbone:
    torch.manual_seed(0)
    module: Any = VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=3)
    layout = torchvision_family.layout(module)
    whole = handmade(nn.ModuleDict({"body": nn.Linear(2, 2)}), 32)
    return Backbone("vit", module.eval(), layout.stages, layout.head, whole.preprocess, "none", convolutional=False)


def by_definition(vit: Backbone, inputs: Tensor) -> Tensor:
    """Return the rollout of Abnar & Zuidema from the queries and keys of each block."""
    module: Any = vit.module
    kept: list[Tensor] = []
    handles = [b.attn.qkv.register_forward_hook(lambda part, given, out: kept.append(out)) for b in module.blocks]
    module(inputs)
    for handle in handles:
        handle.remove()
    joint = torch.eye(kept[0].shape[1])
    for block, qkv in zip(module.blocks, kept, strict=True):
        b, n, _ = qkv.shape
        q, k, _ = qkv.reshape(b, n, 3, block.attn.num_heads, -1).permute(2, 0, 3, 1, 4)
        attention = (q @ k.transpose(-2, -1) * block.attn.scale).softmax(dim=-1).mean(dim=1)
        mixed = 0.5 * attention + 0.5 * torch.eye(n)
        joint = (mixed / mixed.sum(dim=-1, keepdim=True)) @ joint
    return joint[:, 0, 1:].reshape(b, 4, 4).detach()


def test_the_tokens_of_a_vit_are_a_class_token_and_a_grid(vit: Backbone) -> None:
    assert tokens_of(vit) == Tokens(blocks=6, prefix=1, side=4, read=slice(0, 1))


def test_the_map_is_that_of_the_definition(vit: Backbone) -> None:
    tokens = tokens_of(vit)
    assert tokens is not None
    torch.testing.assert_close(rollout(vit, tokens, images(2, PX)), by_definition(vit, images(2, PX)))


def test_torchvisions_vits_have_rollout_too(torchvision_vit: Backbone) -> None:
    tokens = tokens_of(torchvision_vit)
    assert tokens == Tokens(blocks=2, prefix=1, side=4, read=slice(0, 1))
    with torch.no_grad(), attention_of(torchvision_vit.module) as maps:
        answer = torchvision_vit.module(images(2, 32))
    assert [tuple(one.shape) for one in maps] == [(2, 2, 17, 17)] * 2
    torch.testing.assert_close(maps[0].sum(dim=-1), torch.ones(2, 2, 17))
    torch.testing.assert_close(answer, torchvision_vit.module(images(2, 32)))


def test_a_network_without_such_blocks_has_no_tokens() -> None:
    assert tokens_of(network("test_resnet", PX)) is None


def test_fused_attention_is_off_only_while_it_is_read_even_after_an_error(vit: Backbone) -> None:
    module: Any = vit.module
    before = [block.attn.fused_attn for block in module.blocks]
    assert any(before)
    with pytest.raises(RuntimeError, match="channels"), attention_of(module):
        module(torch.zeros(1, 4, PX, PX))
    assert [block.attn.fused_attn for block in module.blocks] == before
    assert not any(part._forward_hooks for part in module.modules())


def test_a_randomized_block_changes_the_map_and_a_randomized_head_does_not(vit: Backbone) -> None:
    tokens = tokens_of(vit)
    assert tokens is not None
    first, other = rollout(vit, tokens, images(2, PX)), network("test_vit", PX)
    randomize(other, other.stages[-1].parameters, seed=2)
    assert correlation(first, rollout(other, tokens, images(2, PX))) < 0.999
    headless = randomized("test_vit", PX, "head")
    torch.testing.assert_close(first, rollout(headless, tokens, images(2, PX)))  # the page says so
