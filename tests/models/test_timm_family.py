"""timm behind raytl's face: stages from group_matcher, preprocessing from the pretrained config, clear refusals."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.models import get_deprecated_models, get_pretrained_cfg
from torch import nn

from raytl.config.schema import ModelConfig
from raytl.errors import ModelError
from raytl.models import timm_family


def meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(name, num_classes=3)


STAGES = {
    "test_resnet": ["stem", "layer1", "layer2", "layer3", "layer4"],
    "test_convnext": ["stem", "stages.0", "stages.1", "stages.2", "stages.3"],
    "test_efficientnet": ["stem", *(f"blocks.{i}" for i in range(5))],
    "mobilenetv2_100": ["stem", *(f"blocks.{i}" for i in range(7))],
    "test_vit": ["stem", *(f"blocks.{i}" for i in range(6))],
    "swin_tiny_patch4_window7_224": ["stem", *(f"layers.{i}" for i in range(4))],
    "densenet121": ["stem", *(f"features.denseblock{i}" for i in range(1, 5))],
    "caformer_s18": ["stem", *(f"stages.{i}" for i in range(4))],  # no matcher: by structure
}


@pytest.mark.parametrize("name", STAGES)
def test_stages_come_from_the_model_and_hold_every_tensor_once(name: str) -> None:
    module = meta(name)
    layout = timm_family.layout(module)
    assert [stage.name for stage in layout.stages] == STAGES[name]
    placed = [n for stage in layout.stages for n in (*stage.parameters, *stage.buffers)] + list(layout.head)
    assert sorted(placed) == sorted(n for n, _ in [*module.named_parameters(), *module.named_buffers()])


def test_what_the_matcher_leaves_over_joins_the_top_stage() -> None:
    layout = timm_family.layout(meta("test_convnext"))
    assert {"head.norm.weight", "head.norm.bias"} <= set(layout.stages[-1].parameters)
    assert layout.head == ("head.fc.weight", "head.fc.bias")


def test_both_heads_of_a_distilled_model_are_the_head() -> None:
    head = timm_family.layout(meta("deit_tiny_distilled_patch16_224")).head
    assert head == ("head.weight", "head.bias", "head_dist.weight", "head_dist.bias")


def test_a_model_without_a_classifier_is_refused() -> None:
    with pytest.raises(ModelError, match="has no classifier to replace"):
        timm_family.layout(timm.create_model("test_resnet", num_classes=0))


def test_preprocessing_is_the_pretrained_configs() -> None:
    result = timm_family.preprocess("mobilenetv2_100")
    assert (result.image_px, result.resize_px, result.crop_mode, result.interpolation) == (
        224,
        256,
        "center",
        "bicubic",
    )
    assert result.mean == (0.485, 0.456, 0.406)
    assert timm_family.preprocess("vit_tiny_patch16_224").mean == (0.5, 0.5, 0.5)
    assert timm_family.preprocess("test_vit").resize_px == 168  # floor(160 / 0.95)


def test_a_crop_that_raytl_does_not_know_is_refused() -> None:
    with pytest.raises(ModelError, match=r"546 x 546 pixels cropped by 'border'; expected .* center or squash"):
        timm_family.preprocess("deepseek_vit_412m")


def test_an_unknown_name_gets_near_misses() -> None:
    with pytest.raises(ModelError, match="timm has no model 'mobilnetv2_100'; did you mean mobilenetv2_100"):
        timm_family.check_name("mobilnetv2_100")


def test_an_unknown_tag_gets_the_tags_there_are() -> None:
    with pytest.raises(ModelError, match=r"resnet50 has no weights tagged 'mine'; its tags: a1_in1k, "):
        timm_family.check_name("resnet50.mine")


@pytest.mark.parametrize("old", sorted(get_deprecated_models()))
def test_every_old_name_is_todays_with_its_weights(old: str) -> None:
    expected = get_deprecated_models()[old]
    assert expected is not None
    result = timm_family.current_name(old)
    base, _, tag = expected.partition(".")
    # timm 1.0.31 still says `sam` for the tag that it renamed to `sam_in1k`
    assert result == {"sam": f"{base}.sam_in1k"}.get(tag, expected)
    assert timm_family.current_name(result) == result
    timm_family.check_name(result)
    assert timm_family.preprocess(result).image_px == get_pretrained_cfg(result).input_size[-1]


def test_an_old_name_has_the_preprocessing_of_its_own_weights() -> None:
    result = timm_family.current_name("vit_base_patch16_224_in21k")
    assert result == "vit_base_patch16_224.augreg_in21k"
    assert timm_family.preprocess(result).mean == (0.5, 0.5, 0.5)
    assert timm_family.preprocess(timm_family.current_name("convnext_tiny_384_in22ft1k")).image_px == 384


def test_a_tag_that_is_asked_for_goes_before_the_old_names() -> None:
    assert timm_family.current_name("efficientnet_b2a.ra_in1k") == "efficientnet_b2.ra_in1k"
    assert timm_family.current_name("resnet50.a1_in1k") == "resnet50.a1_in1k"


def test_an_old_name_without_a_replacement_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm_family, "get_deprecated_models", lambda: {"gone": None})
    with pytest.raises(ModelError, match=r"model.name: timm removed 'gone' without a replacement"):
        timm_family.current_name("gone")


def test_an_option_that_the_model_does_not_take_is_refused() -> None:
    with pytest.raises(ModelError, match=r"vgg11 cannot be built with these model options: .*drop_path_rate"):
        timm_family.create("vgg11", ModelConfig(name="vgg11", drop_path=0.1), 3, 224)


def test_dropout_and_drop_path_reach_the_model() -> None:
    module = timm_family.create("test_vit", ModelConfig(name="test_vit", dropout=0.3, drop_path=0.2), 3, 160)
    assert module.get_submodule("head_drop").p == pytest.approx(0.3)
    assert module.get_submodule("blocks.5.drop_path1").drop_prob == pytest.approx(0.2)


def test_another_image_size_resizes_a_vit() -> None:
    module = timm_family.create("test_vit", ModelConfig(name="test_vit"), 3, 64)
    assert module(torch.zeros(1, 3, 64, 64)).shape == (1, 3)


def test_weights_that_cannot_be_fetched_say_what_to_do() -> None:
    with pytest.raises(ModelError, match=r"pretrained weights of test_vit could not be downloaded .* or to none"):
        timm_family.pretrained("test_vit", 160)


def test_a_model_that_has_no_weights_says_so() -> None:
    with pytest.raises(ModelError, match=r"could not be downloaded .RuntimeError: No pretrained weights exist"):
        timm_family.pretrained("vit_small_patch16_36x1_224", 224)


def test_a_files_position_embedding_is_resized_to_the_model() -> None:
    config = ModelConfig(name="test_vit")
    state = timm_family.create("test_vit", config, 3, 160).state_dict()
    small = timm_family.create("test_vit", config, 3, 64)
    adapted = timm_family.adapt("test_vit", small, state)
    assert adapted["pos_embed"].shape == small.state_dict()["pos_embed"].shape
