"""Dense networks: the stages and weights of the classifier, a new neck and head, and frozen statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from raytl.config.schema import ModelConfig
from raytl.models.backbone import build
from raytl.models.dense import Parts, build_dense
from raytl.models.freeze import apply_freeze, learning
from raytl.models.groups import _undecayed
from raytl.models.neck import Fpn
from raytl.models.prefix import split_model
from raytl.models.pyramid import Level


class Mean(nn.Module):
    """The mean of all maps for each sample, or with targets its squared distance from them."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, maps: Sequence[torch.Tensor], size: Sequence[int], targets: object, ids: object) -> torch.Tensor:
        assert size[0] in (32, 160)
        mean = self.scale * torch.stack([value.mean(dim=(1, 2, 3)) for value in maps]).sum(dim=0)
        return mean if targets is None else (mean - targets).square().sum()


def parts(levels: Sequence[Level]) -> Parts:
    return Fpn(levels, 8, 32), Mean()


def config(name: str, weights: str | Path = "none", **options: object) -> ModelConfig:
    return ModelConfig.model_validate({"name": name, "weights": str(weights), "preprocess": {"image_px": 32}} | options)


def test_the_stages_are_those_of_the_classifier() -> None:
    classifier, dense = build(config("mobilenetv2_100"), 3), build_dense(config("mobilenetv2_100"), parts, 8)
    assert [stage.name for stage in dense.stages] == [stage.name for stage in classifier.stages]
    assert dense.stages[3].parameters == tuple(f"pyramid.body.{name}" for name in classifier.stages[3].parameters)
    assert {name.split(".")[0] for name in dense.head} == {"neck", "head"}
    tensors = [name for stage in dense.stages for name in (*stage.parameters, *stage.buffers)]
    assert sorted([*tensors, *dense.head]) == sorted(
        [n for n, _ in dense.module.named_parameters()] + [n for n, _ in dense.module.named_buffers()]
    )


def test_weights_of_a_classifier_fit_and_so_do_those_of_a_dense_network(tmp_path: Path) -> None:
    state = build(config("mobilenetv2_100"), 3).module.state_dict()
    save_file(state, tmp_path / "classifier.safetensors")
    first = build_dense(config("mobilenetv2_100", tmp_path / "classifier.safetensors"), parts, 8)
    save_file(first.module.state_dict(), tmp_path / "dense.safetensors")
    again = build_dense(config("mobilenetv2_100", tmp_path / "dense.safetensors"), parts, 8)
    for built in (first, again):
        own = built.module.pyramid.body.state_dict()  # type: ignore[union-attr]
        assert own and all(torch.equal(tensor, state[name]) for name, tensor in own.items())


def test_frozen_stages_stay_frozen_and_statistics_too_where_the_stage_trains() -> None:
    dense = build_dense(config("test_resnet"), parts, 8)
    apply_freeze(dense, 2)
    dense.module.train()
    before = {name: tensor.clone() for name, tensor in dense.module.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in dense.module.parameters() if p.requires_grad], lr=0.1)
    dense.module(torch.randn(2, 3, 32, 32), torch.ones(2)).backward()
    optimizer.step()
    changed = {name for name, tensor in dense.module.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed <= learning(dense, 2).names
    assert {"pyramid.body.layer4.0.bn2.weight", "neck.fpn.inner_blocks.0.0.weight", "head.scale"} <= changed


def test_unfreezing_all_trains_the_affine_part_of_batch_norm_only() -> None:
    dense = build_dense(config("test_resnet"), parts, 8)
    apply_freeze(dense, len(dense.stages))
    dense.module.train()
    norms = [part for part in dense.module.modules() if isinstance(part, nn.BatchNorm2d)]
    assert norms and not any(part.training for part in norms)
    assert all(part.weight.requires_grad for part in norms)


SPLIT = {
    "test_resnet": (64, 32),
    "test_vit": (160, 160),
    "torchvision:shufflenet_v2_x0_5": (32, 32),
    "convnext_atto": (64, 32),
    "mobilenetv2_100": (64, 32),
    "vit_tiny_patch16_224": (64, 32),
}
THOROUGH = ("convnext_atto", "mobilenetv2_100", "vit_tiny_patch16_224")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.thorough] if name in THOROUGH else []) for name in SPLIT]
)
def test_the_frozen_prefix_and_the_suffix_equal_the_network_and_take_targets(name: str) -> None:
    width, height = SPLIT[name]
    dense = build_dense(config(name), parts, 8)
    dense = replace(dense, preprocess=dense.preprocess.fit((width, height)))
    images, targets = torch.randn(2, 3, height, width), torch.ones(2)
    layout = torch.channels_last if dense.convolutional else torch.contiguous_format
    dense.module.to(memory_format=layout)  # type: ignore[call-overload]
    images = images.to(memory_format=layout)
    dense.module.eval()
    for depth in (0, 1, len(dense.stages) - 1):
        apply_freeze(dense, depth)
        split = split_model(dense, depth)
        rows = split.prefix(images)
        assert torch.equal(split.suffix(rows, targets), dense.module(images, targets))
        assert torch.equal(split.suffix(rows), dense.module(images))


def test_networks_that_read_other_maps_of_the_same_stages_have_other_traces() -> None:
    fine, coarse = (
        build_dense(config("test_resnet"), lambda levels, f=f: (Fpn(levels, f, 32), Mean()), f) for f in (4, 8)
    )  # type: ignore[misc]
    traces = [[split_model(dense, depth).trace for depth in (0, 1)] for dense in (fine, coarse)]
    assert traces[0][0] == traces[0][1] != traces[1][0] == traces[1][1]


def test_parameters_that_a_vit_excludes_from_decay_are_found_by_their_full_names() -> None:
    dense = build_dense(config("test_vit"), parts, 8)
    assert "pyramid.body.pos_embed" in _undecayed(dense)
