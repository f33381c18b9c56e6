"""Small networks for the tests of attribution: timm's, with random heads, and hand-made ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.data.transforms import Preprocess
from raytl.models.backbone import Backbone, build
from raytl.models.stages import divide

CLASSES = 3


def network(name: str, px: int) -> Backbone:
    """Return a network of timm in evaluation mode; its new head is random, not zero."""
    torch.manual_seed(0)
    backbone = build(ModelConfig(name=name, weights="none", preprocess=PreprocessOverride(image_px=px)), CLASSES)
    randomize(backbone, backbone.head)
    backbone.module.eval()
    return backbone


def handmade(module: nn.Module, px: int) -> Backbone:
    """Return a network of one stage, `body`, and a head."""
    names = [name for name, _ in module.named_parameters()]
    layout = divide(module.eval(), {name: 0 for name in names if name.startswith("body.")})
    preprocess = Preprocess(px, px, "center", "bilinear", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    return Backbone("handmade", module, layout.stages, layout.head, preprocess, "none", convolutional=False)


@torch.no_grad()
def randomize(backbone: Backbone, names: tuple[str, ...], seed: int = 1) -> None:
    """Replace parameters by noise."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in backbone.module.named_parameters():
        if name in names:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * max(0.05, float(parameter.std())))


def randomized(name: str, px: int, names: str) -> Backbone:
    """Return `network(name, px)` with its head, or its top stage, replaced by other noise."""
    backbone = network(name, px)
    randomize(backbone, backbone.head if names == "head" else backbone.stages[-1].parameters, seed=2)
    return backbone


def images(count: int, px: int) -> Tensor:
    """Return normalized noise with a bright square at another place in each image."""
    inputs = torch.randn(count, 3, px, px, generator=torch.Generator().manual_seed(3)) * 0.3
    for i in range(count):
        inputs[i, :, i * px // count :, : px // 2] += 1
    return inputs


def correlation(one: Tensor, other: Tensor) -> float:
    """Return the mean correlation of the maps of each image; of an even map it is 1 with itself and 0 with others."""
    values = []
    for first, second in zip(one.flatten(1), other.flatten(1), strict=True):
        is_even = min(float(first.std()), float(second.std())) == 0
        same = float(torch.equal(first, second))
        values.append(same if is_even else float(torch.corrcoef(torch.stack([first, second]))[0, 1]))
    return sum(values) / len(values)
