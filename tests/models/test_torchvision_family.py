"""torchvision behind raytl's face."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.ops import StochasticDepth

from raytl.config.schema import ModelConfig
from raytl.errors import ModelError
from raytl.models import torchvision_family


def create(name: str, px: int = 224, **options: float) -> nn.Module:
    return torchvision_family.create(name, ModelConfig(name=f"torchvision:{name}", **options), 3, px)


def test_preprocessing_is_the_default_weights() -> None:
    result = torchvision_family.preprocess("resnet18")
    assert (result.image_px, result.resize_px, result.interpolation) == (224, 256, "bilinear")
    assert torchvision_family.preprocess("efficientnet_v2_s").image_px == 384


def test_an_unknown_name_gets_near_misses() -> None:
    with pytest.raises(ModelError, match="no classification model 'resnet19'; did you mean resnet18"):
        torchvision_family.check_name("resnet19")


def test_a_detection_model_is_not_a_classification_model() -> None:
    with pytest.raises(ModelError, match="no classification model 'fasterrcnn_resnet50_fpn'"):
        torchvision_family.check_name("fasterrcnn_resnet50_fpn")


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_models_with_auxiliary_heads_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match=f"{name} trains with auxiliary heads, which raytl does not"):
        torchvision_family.check_name(name)


def test_dropout_is_the_one_before_the_head() -> None:
    module = create("mobilenet_v3_small", dropout=0.35)
    assert module.get_submodule("classifier.2").p == pytest.approx(0.35)


def test_dropout_without_a_place_for_it_is_an_error() -> None:
    with pytest.raises(ModelError, match="torchvision:resnet18 has no dropout before its head; remove the key"):
        create("resnet18", dropout=0.1)


def test_drop_path_grows_up_to_its_rate() -> None:
    module = create("efficientnet_b0", drop_path=0.4)
    result = [m.p for m in module.modules() if isinstance(m, StochasticDepth)]
    assert result == sorted(result)
    assert result[-1] == pytest.approx(0.4)


def test_drop_path_without_a_place_for_it_is_an_error() -> None:
    with pytest.raises(ModelError, match="torchvision:resnet18 has no stochastic depth; remove the key"):
        create("resnet18", drop_path=0.1)


def test_a_vits_positions_are_resized_to_another_image_size() -> None:
    with torch.device("meta"):
        large, small = create("vit_b_32"), create("vit_b_32", px=64)
    state = {name: torch.zeros(t.shape) for name, t in large.state_dict().items() if "pos_embedding" in name}
    adapted = torchvision_family.adapt("vit_b_32", small, state)
    assert adapted["encoder.pos_embedding"].shape == small.state_dict()["encoder.pos_embedding"].shape


def test_a_size_that_the_model_cannot_have_is_refused() -> None:
    with pytest.raises(ModelError, match="torchvision:vit_b_32 cannot be built with these model options"):
        create("vit_b_32", px=50)


def test_weights_that_cannot_be_fetched_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(ModelError, match="pretrained weights of torchvision:resnet18 could not be downloaded"):
        torchvision_family.pretrained("resnet18", 224)
