"""Apply Mixup and CutMix to a normalized batch: blend two images and their labels in proportion."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torchvision.transforms import v2

from raytl.config.schema import AugmentConfig

Mix = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def mix(config: AugmentConfig, classes: int) -> Mix | None:
    """Return a function from `(images, int64 targets)` to `(images, (batch, classes) targets)`; None if both are off.

    If both are on, each batch uses one of them at random, drawn from torch's global generator. Sources: Zhang et
    al. 2018 (Mixup), Yun et al. 2019 (CutMix), through torchvision.
    """
    choices = [
        transform(alpha=alpha, num_classes=classes)
        for transform, alpha in ((v2.MixUp, config.mixup), (v2.CutMix, config.cutmix))
        if alpha > 0
    ]
    return v2.RandomChoice(choices) if choices else None
