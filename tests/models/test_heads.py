"""A head that goes on from another one's, by the names of the classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.errors import ModelError
from raytl.models.backbone import build
from raytl.models.heads import inherit
from raytl.models.probe import head_layer
from raytl.models.saved_model import Card, save_model


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "torchvision:mobilenet_v3_small"])
def test_rows_of_known_classes_are_kept_by_name_and_new_ones_are_as_likely(name: str, tmp_path: Path) -> None:
    config = ModelConfig(
        name=name, weights="none", preprocess=PreprocessOverride(image_px=32 if "vit" not in name else 160)
    )
    old = build(config, 3)
    torch.nn.init.normal_(head_layer(old).weight)
    torch.nn.init.normal_(head_layer(old).bias)  # type: ignore[arg-type]
    save_model(tmp_path / "old", old.module, Card(name, ("blue", "green", "red"), old.preprocess, "none"))
    new = build(config.model_copy(update={"weights": str(tmp_path / "old")}), 3)
    assert inherit(new, str(tmp_path / "old"), ("amber", "blue", "red")) == ("amber",)
    before, after = head_layer(old), head_layer(new)
    assert torch.equal(after.weight[1:], before.weight[[0, 2]])
    assert torch.equal(after.bias[1:], before.bias[[0, 2]])  # type: ignore[index]
    assert not after.weight[0].any()
    assert torch.isclose(after.bias[0], before.bias.mean())  # type: ignore[index, union-attr]
    last = next(path for path, part in old.module.named_modules() if part is before)
    hidden = [key for key in old.head if not key.startswith(f"{last}.")]
    assert all(torch.equal(new.module.state_dict()[key], old.module.state_dict()[key]) for key in hidden)


def test_weights_that_do_not_say_their_classes_have_no_head_to_give(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    backbone = build(ModelConfig(name="test_resnet", weights="none"), 2)
    save_file({k: v.contiguous() for k, v in backbone.module.state_dict().items()}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="does not list its classes"):
        inherit(backbone, str(tmp_path / "w.safetensors"), ("a", "b"))
