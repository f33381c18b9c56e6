"""torchvision's models by structure; on the meta device, so that large ones cost nothing."""

from __future__ import annotations

import pytest
import torch
import torchvision.models as zoo

from raytl.models.structure import head_path, layout_of

STAGES = {
    "resnet18": ["stem", "layer1", "layer2", "layer3", "layer4"],
    "mobilenet_v2": ["stem", "features.1", "features.2", "features.4", "features.7", "features.14"],
    "mobilenet_v3_small": ["stem", "features.1", "features.2", "features.4", "features.9"],
    "densenet121": [
        "stem",
        "features.denseblock1",
        "features.transition1",
        "features.transition2",
        "features.transition3",
    ],
    "shufflenet_v2_x0_5": ["stem", "stage2", "stage3", "stage4"],
    "convnext_tiny": ["stem", "features.1", "features.2", "features.4", "features.6"],
    "alexnet": ["stem", "features.3", "features.6", "classifier"],
    "vgg11_bn": ["stem", "features.4", "features.8", "features.15", "features.22", "classifier"],
    "squeezenet1_1": ["stem", "features.3", "features.6", "features.9"],
    "mnasnet0_5": ["stem", "layers.8", "layers.9", "layers.10", "layers.12"],
    "vit_b_16": ["stem", *(f"encoder.layers.encoder_layer_{i}" for i in range(12))],
}


@pytest.mark.parametrize("name", STAGES)
def test_a_torchvision_model_has_the_stages_of_its_structure(name: str) -> None:
    with torch.device("meta"):
        module = zoo.get_model(name, num_classes=3)
    layout = layout_of(module, [head_path(module)])
    assert [stage.name for stage in layout.stages] == STAGES[name]
    placed = [n for stage in layout.stages for n in (*stage.parameters, *stage.buffers)] + list(layout.head)
    assert sorted(placed) == sorted(n for n, _ in [*module.named_parameters(), *module.named_buffers()])


def test_a_vits_token_and_positions_are_the_stems_and_its_last_norm_the_top_stages() -> None:
    with torch.device("meta"):
        module = zoo.get_model("vit_b_32")
    stages = layout_of(module, [head_path(module)]).stages
    assert {"class_token", "encoder.pos_embedding", "conv_proj.weight"} <= set(stages[0].parameters)
    assert "encoder.ln.weight" in stages[-1].parameters


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("resnet18", "fc"),
        ("squeezenet1_1", "classifier.1"),
        ("mobilenet_v3_small", "classifier.3"),
        ("convnext_tiny", "classifier.2"),
        ("vit_b_32", "heads.head"),
    ],
)
def test_the_head_is_the_last_layer_with_weights(name: str, head: str) -> None:
    with torch.device("meta"):
        assert head_path(zoo.get_model(name)) == head


def test_other_layers_of_the_classifier_join_the_top_stage() -> None:
    with torch.device("meta"):
        module = zoo.get_model("mobilenet_v3_small")
    layout = layout_of(module, [head_path(module)])
    assert "classifier.0.weight" in layout.stages[-1].parameters
    assert layout.head == ("classifier.3.weight", "classifier.3.bias")
    assert not any("classifier.2" in stage.modules for stage in layout.stages)  # dropout before the head
