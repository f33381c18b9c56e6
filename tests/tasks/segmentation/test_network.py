"""The heads and the loss of semantic segmentation."""

from __future__ import annotations

import pytest
import torch

from raytl.config.schema import ModelConfig
from raytl.errors import ConfigError
from raytl.models.backbone import Backbone
from raytl.tasks.segmentation.loss import VOID, normalizer
from raytl.tasks.segmentation.network import build

HEADS = ["fpn", "deeplabv3plus"]


def built(head: str, name: str = "test_resnet") -> Backbone:
    torch.manual_seed(0)
    config = ModelConfig.model_validate({"name": name, "weights": "none", "head": head, "neck": {"channels": 32}})
    return build(config, ["a", "b", "c"])


def masks() -> torch.Tensor:
    """Three views of 70 x 90 pixels: one all void, one half."""
    drawn = torch.randint(0, 3, (3, 70, 90), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    drawn[0], drawn[1, :35] = VOID, VOID
    return drawn


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", ["test_resnet", pytest.param("test_vit", marks=pytest.mark.thorough)])
def test_each_pixel_gets_a_score_for_each_class(head: str, name: str) -> None:
    module = built(head, name).module.eval()
    assert module(torch.randn(2, 3, 70, 90)).shape == (2, 3, 70, 90)


@pytest.mark.parametrize("head", HEADS)
def test_the_loss_of_parts_adds_up_and_void_does_not_count(head: str) -> None:
    module, images, truth = built(head).module.eval(), torch.randn(3, 3, 70, 90), masks()
    with torch.no_grad():
        whole = float(module(images, truth))
        parts = [float(module(images[i : i + 1], truth[i : i + 1])) for i in range(3)]
    assert whole == pytest.approx(sum(parts), rel=1e-5)
    assert parts[0] == 0
    assert normalizer(truth) == 35 * 90 + 70 * 90
    assert whole / normalizer(truth) == pytest.approx(1.1, abs=0.5)


@pytest.mark.parametrize("head", ["fpn", pytest.param("deeplabv3plus", marks=pytest.mark.thorough)])
def test_an_image_is_learned_in_a_few_steps(head: str) -> None:
    module, truth = built(head).module, torch.zeros(1, 64, 64, dtype=torch.uint8)
    truth[:, 16:48, 16:48] = 2
    image = truth.float()[:, None].expand(-1, 3, -1, -1) - 1
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-3)
    for _ in range(30):
        (module(image, truth) / normalizer(truth)).backward()
        optimizer.step()
        optimizer.zero_grad()
    found = module.eval()(image).argmax(dim=1)
    assert (found == truth).float().mean() > 0.9


def test_an_unknown_head_is_an_error() -> None:
    with pytest.raises(ConfigError, match="segmentation has no head 'unet'; expected fpn, deeplabv3plus"):
        build(ModelConfig(name="test_resnet", head="unet"), ["a"])
