"""Frozen means frozen, over families of both libraries."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.errors import ModelError
from raytl.models.backbone import Backbone, build
from raytl.models.freeze import apply_freeze, fingerprint, learning

# Name, side of the image; every family with its own way of normalising, attending or dropping paths.
FAMILIES = {
    "test_resnet": 32,
    "test_convnext": 32,
    "test_efficientnet": 32,
    "test_nfnet": 32,
    "test_byobnet": 32,
    "mobilenetv3_small_050": 32,
    "mobilenetv2_050": 32,
    "test_vit": 64,
    "swin_tiny_patch4_window7_224": 64,
    "levit_128s": 224,
    "densenet121": 32,
    "torchvision:resnet18": 32,
    "torchvision:mobilenet_v3_small": 32,
    "torchvision:shufflenet_v2_x0_5": 32,
    "torchvision:regnet_y_400mf": 32,
    "torchvision:efficientnet_b0": 32,
    "torchvision:squeezenet1_1": 32,
    "torchvision:swin_t": 32,
}
SMALL = {name: px for name, px in FAMILIES.items() if px <= 64}
THOROUGH = ("torchvision:swin_t", "torchvision:efficientnet_b0", "torchvision:regnet_y_400mf")
"""Those that cost most and resemble one of the others: timm's Swin, or a smaller network of torchvision."""


def each(names: Iterable[str]) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.thorough) if name in THOROUGH else name for name in names]


def backbone(name: str, px: int, **options: float) -> Backbone:
    torch.manual_seed(0)
    config = ModelConfig(name=name, weights="none", preprocess=PreprocessOverride(image_px=px), **options)
    return build(config, 3)


def step(built: Backbone, px: int, lr: float = 0.5) -> Tensor:
    """train(), forward, backward and a step over all parameters, decay and all; returns the loss."""
    built.module.train()
    optimizer = torch.optim.SGD(built.module.parameters(), lr=lr, momentum=0.9, weight_decay=0.1)
    images, targets = torch.randn(3, 3, px, px), torch.tensor([0, 1, 2])
    loss = nn.functional.cross_entropy(built.module(images), targets)
    loss.backward()
    optimizer.step()
    return loss


def frozen_state(built: Backbone, depth: int) -> dict[str, Tensor]:
    """A copy of every parameter and buffer below the boundary."""
    below = built.stages[: len(built.stages) - depth]
    tensors = dict(built.module.named_parameters()) | dict(built.module.named_buffers())
    return {name: tensors[name].detach().clone() for stage in below for name in (*stage.parameters, *stage.buffers)}


@pytest.mark.parametrize("name", each(FAMILIES))
def test_nothing_below_the_boundary_moves_and_all_above_learns(name: str) -> None:
    built, px, depth = backbone(name, FAMILIES[name]), FAMILIES[name], 1
    apply_freeze(built, depth)
    before, whole = frozen_state(built, depth), copy.deepcopy(built.module.state_dict())
    step(built, px)
    after = frozen_state(built, depth)
    assert all(torch.equal(before[n].nan_to_num(7), after[n].nan_to_num(7)) for n in before)
    grads = {n for n, p in built.module.named_parameters() if p.grad is not None}
    assert grads == learning(built, depth).names  # no gradient below, and none missing above
    moved = {n for n, t in built.module.state_dict().items() if not torch.equal(t, whole[n])}
    assert moved.isdisjoint(before) and {n for n in moved if n.startswith(built.head[0].rpartition(".")[0])}


@pytest.mark.parametrize("name", each(SMALL))
def test_frozen_modules_stay_in_evaluation_whatever_train_is_called(name: str) -> None:
    built, depth = backbone(name, FAMILIES[name]), 2
    apply_freeze(built, depth)
    modules = dict(built.module.named_modules())
    built.module.train()
    for module in modules.values():
        module.train()
    boundary = len(built.stages) - depth
    modes = [{modules[n].training for n in stage.modules} for stage in built.stages]
    assert all(mode == {False} for mode in modes[:boundary])
    assert all(mode == {True} for mode in modes[boundary:])
    in_no_frozen_stage = set(modules) - {n for stage in built.stages[:boundary] for n in stage.modules}
    assert all(modules[n].training for n in in_no_frozen_stage)
    built.module.eval()
    assert not any(module.training for module in modules.values())


@pytest.mark.parametrize("name", each(SMALL))
def test_the_backward_pass_stops_at_the_boundary(name: str) -> None:
    px, depth = SMALL[name], 1
    built = backbone(name, px)
    apply_freeze(built, depth)
    modules = dict(built.module.named_modules())
    tracked: list[str] = []
    for stage in built.stages[: len(built.stages) - depth]:
        for path in stage.modules:
            modules[path].register_forward_hook(
                lambda m, i, out, path=path: tracked.append(path) if getattr(out, "requires_grad", False) else None
            )
    step(built, px)
    assert tracked == []


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("test_vit", {"drop_path": 0.5}),
        ("test_convnext", {"drop_path": 0.5}),
        ("mobilenetv2_050", {"drop_path": 0.5, "dropout": 0.0}),
        ("torchvision:efficientnet_b0", {"drop_path": 0.5, "dropout": 0.0}),
        ("torchvision:swin_t", {"drop_path": 0.5}),
    ],
)
def test_stochastic_depth_is_off_in_the_frozen_part(name: str, options: dict[str, float]) -> None:
    px = FAMILIES[name]
    built, images = backbone(name, px, **options), torch.randn(4, 3, px, px)
    built.module.train()
    assert not torch.equal(built.module(images), built.module(images))
    apply_freeze(built, 0)
    built.module.train()
    assert torch.equal(built.module(images), built.module(images))


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "torchvision:mobilenet_v3_small"])
def test_dropout_before_the_head_works_when_the_head_learns_alone(name: str) -> None:
    px = FAMILIES[name]
    built, images = backbone(name, px, dropout=0.5), torch.randn(4, 3, px, px)
    apply_freeze(built, 0)
    built.module.train()
    assert not torch.equal(built.module(images), built.module(images))


def test_opening_deeper_releases_and_closing_drops_gradients() -> None:
    built = backbone("test_resnet", 32)
    built.module.train()
    apply_freeze(built, 0)
    apply_freeze(built, len(built.stages))
    assert all(p.requires_grad for p in built.module.parameters())
    assert all(m.training for m in built.module.modules())  # at once, without another train()
    assert not any("train" in m.__dict__ for m in built.module.modules())
    step(built, 32)
    apply_freeze(built, 1)
    assert {n for n, p in built.module.named_parameters() if p.grad is not None} == learning(built, 1).names


@pytest.fixture(params=["deepcopy", "pickle"])
def clone(request: pytest.FixtureRequest) -> Iterator[tuple[Backbone, nn.Module]]:
    built = backbone("test_resnet", 32)
    apply_freeze(built, 1)
    if request.param == "pickle":
        yield built, pickle.loads(pickle.dumps(built.module))
    else:
        yield built, copy.deepcopy(built.module)


def test_a_copy_is_frozen_by_itself(clone: tuple[Backbone, nn.Module]) -> None:
    built, copied = clone
    assert copied.train() is copied
    stem = copied.get_submodule("bn1")
    assert stem.train() is stem and not stem.training
    assert stem is not built.module.get_submodule("bn1")
    assert copied.get_submodule("layer4").training


def test_zero_is_the_head_alone_and_all_is_everything() -> None:
    built = backbone("test_resnet", 32)
    assert learning(built, 0).names == {"fc.weight", "fc.bias"}
    everything = learning(built, "all")
    assert everything.names == {n for n, _ in built.module.named_parameters()}
    assert everything.stages == ("stem", "layer1", "layer2", "layer3", "layer4")
    assert (everything.depth, learning(built, 2).stages) == (5, ("layer3", "layer4"))


def test_more_stages_than_there_are_is_an_error_that_lists_them() -> None:
    built = backbone("test_resnet", 32)
    with pytest.raises(ModelError, match=r"found 9, but test_resnet has 5 stages; write 0 to 5, or all:") as info:
        learning(built, 9)
    assert [line.split() for line in str(info.value).splitlines()[1:3]] == [
        ["head", "291", "parameters"],
        ["layer4", "267,840", "parameters"],
    ]


def test_the_fingerprint_tells_what_is_trainable_and_nothing_else() -> None:
    one, other = backbone("test_resnet", 32), backbone("test_resnet", 32)
    apply_freeze(one, 1)
    apply_freeze(other, 2)
    assert fingerprint(one.module) != fingerprint(other.module)
    apply_freeze(other, 1)
    step(other, 32)
    assert fingerprint(one.module) == fingerprint(other.module)
