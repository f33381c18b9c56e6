"""The first layer for other channels: filters made from those of RGB by a named rule, with timm as the oracle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models._manipulate import adapt_input_conv

from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.data.bit_depth import BitDepth
from raytl.errors import ModelError
from raytl.models import stem
from raytl.models.backbone import build, preprocess_of
from raytl.models.saved_model import Card, load_model, save_model

FIRST = {"test_resnet": "conv1.0.weight", "torchvision:shufflenet_v2_x0_5": "conv1.0.weight"}


@pytest.fixture(scope="module")
def rgb(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights of RGB networks, by the name of the model."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    files = {}
    for name in FIRST:
        files[name] = folder / f"{name.rpartition(':')[2]}.safetensors"
        save_file(build(ModelConfig(name=name, weights="none"), 3).module.state_dict(), files[name])
    return files


def built(rgb: dict[str, Path], name: str, channels: int, rule: Any = "repeat") -> torch.Tensor:
    config = ModelConfig(name=name, weights=str(rgb[name]), channels=channels, stem=rule)
    backbone = build(config, 4)
    assert backbone.module(torch.zeros(2, channels, 32, 32)).shape == (2, 4)
    assert backbone.preprocess.channels == channels
    return backbone.module.state_dict()[FIRST[name]]


@pytest.mark.parametrize("name", FIRST)
@pytest.mark.parametrize("channels", [2, 4, 13])
def test_repeat_is_the_rule_of_timm(rgb: dict[str, Path], name: str, channels: int) -> None:
    assert torch.equal(built(rgb, name, channels), adapt_input_conv(channels, _first(rgb, name)))


def _first(rgb: dict[str, Path], name: str) -> torch.Tensor:
    return build(ModelConfig(name=name, weights=str(rgb[name])), 3).module.state_dict()[FIRST[name]]


def test_timm_itself_loads_the_same_network(rgb: dict[str, Path]) -> None:
    overlay = {"file": str(rgb["test_resnet"]), "num_classes": 3}
    oracle = timm.create_model(
        "test_resnet", pretrained=True, in_chans=5, num_classes=3, pretrained_cfg_overlay=overlay
    )
    images = torch.rand(2, 5, 32, 32)
    config = ModelConfig(name="test_resnet", weights=str(rgb["test_resnet"]), channels=5)
    ours = build(config, 3).module
    own = {name: value for name, value in ours.state_dict().items() if not name.startswith("fc")}
    assert all(torch.equal(value, oracle.state_dict()[name]) for name, value in own.items())
    assert torch.equal(ours.eval().forward_features(images), oracle.eval().forward_features(images))


def test_the_mean_answers_gray_as_the_rgb_network_does(rgb: dict[str, Path]) -> None:
    given, mean = _first(rgb, "test_resnet"), built(rgb, "test_resnet", 7, "mean")
    assert torch.allclose(mean.sum(dim=1), given.sum(dim=1), atol=1e-6)
    assert torch.equal(mean[:, 0], mean[:, 6])


def test_zero_keeps_rgb_and_starts_the_others_at_zero(rgb: dict[str, Path]) -> None:
    zero = built(rgb, "test_resnet", 5, "zero")
    assert torch.equal(zero[:, :3], _first(rgb, "test_resnet"))
    assert not zero[:, 3:].any()


def test_random_filters_are_the_same_for_every_seed_as_their_digest_names_them(rgb: dict[str, Path]) -> None:
    first, digests = built(rgb, "test_resnet", 5, "random"), set()
    torch.manual_seed(1)
    assert torch.equal(first, built(rgb, "test_resnet", 5, "random"))
    for rule in ("repeat", "mean", "zero", "random"):
        config = ModelConfig(name="test_resnet", weights=str(rgb["test_resnet"]), channels=5, stem=rule)
        digests.add(build(config, 2).weights_digest)
    assert len(digests) == 4


def test_a_note_names_the_rule_and_the_layer(rgb: dict[str, Path]) -> None:
    config = ModelConfig(name="test_resnet", weights=str(rgb["test_resnet"]), channels=13)
    assert (
        build(config, 2).notes[-1]
        == "model.stem: repeat: the filters of conv1.0.weight, of RGB, became those of 13 channels"
    )


def test_rgb_is_not_touched(rgb: dict[str, Path]) -> None:
    state = build(ModelConfig(name="test_resnet", weights="none"), 3).module.state_dict()
    assert stem.adapted(state, torch.nn.Linear(1, 1), 3, "repeat") is state


def test_a_first_layer_that_cannot_be_adapted_is_an_error() -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(12, 4, 3))
    with pytest.raises(ModelError, match="no first layer of 5 channels whose filters can be made from those of RGB"):
        stem.stem_of({"0.weight": torch.zeros(4, 12, 3, 3)}, module, 5)


def test_statistics_of_the_training_images_replace_the_stand_ins_unless_given() -> None:
    depth = BitDepth(ranges=((0.0, 9.0),) * 4, mean=(0.1, 0.2, 0.3, 0.4), std=(0.5,) * 4)
    config = ModelConfig(name="test_resnet", weights="none", channels=4)
    found = build(config, 2).reading(depth).preprocess
    assert (found.mean, found.std, found.bit_depth.ranges) == (depth.mean, depth.std, depth.ranges)
    assert found.measured == depth
    given = PreprocessOverride(mean=(0.9,) * 4, std=(0.8,) * 4)
    own = build(config.model_copy(update={"preprocess": given}), 2).reading(depth).preprocess
    assert (own.mean, own.std, own.bit_depth.ranges) == ((0.9,) * 4, (0.8,) * 4, depth.ranges)
    assert preprocess_of(config).mean == (0.5,) * 4


def test_a_saved_model_is_built_again_with_its_channels(tmp_path: Path) -> None:
    depth = BitDepth(ranges=((-1.0, 9.0),) * 13, mean=(0.25,) * 13, std=(0.5,) * 13)
    backbone = build(ModelConfig(name="test_resnet", weights="none", channels=13), 2).reading(depth)
    save_model(tmp_path, backbone.module, Card("test_resnet", ("a", "b"), backbone.preprocess, "none"))
    module, card = load_model(tmp_path)
    assert card.preprocess == backbone.preprocess
    assert card.config.channels == 13
    assert module(torch.zeros(1, 13, 32, 32)).shape == (1, 2)
