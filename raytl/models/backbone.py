"""A pretrained backbone with a new head, as one value whatever library it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import nn

from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.data.bit_depth import BitDepth
from raytl.data.transforms import Preprocess
from raytl.errors import ModelError
from raytl.models import timm_family, torchvision_family, weights
from raytl.models.family import Family
from raytl.models.stages import Stage

__all__ = ["Backbone", "Stage", "build", "preprocess_of"]

_TORCHVISION = "torchvision:"


@dataclass(frozen=True)
class Backbone:
    """A module `(batch, 3, px, px) float32 -> (batch, classes)`, divided into stages bottom to top and a head.

    `head` names the head's tensors, `weights_digest` the pretrained tensors it started from ("none" = random).
    """

    name: str
    module: nn.Module
    stages: tuple[Stage, ...]
    head: tuple[str, ...]
    preprocess: Preprocess
    weights_digest: str
    convolutional: bool

    def reading(self, depth: BitDepth) -> Backbone:
        """Return the same backbone for images that are scaled by `depth`."""
        return replace(self, preprocess=self.preprocess.at(depth))

    @property
    def sizes(self) -> dict[str, int]:
        """Parameters of each stage, bottom to top, and of the `head`."""
        counts = {name: parameter.numel() for name, parameter in self.module.named_parameters()}
        stages = {stage.name: sum(counts[n] for n in stage.parameters) for stage in self.stages}
        return {**stages, "head": sum(counts.get(n, 0) for n in self.head)}


def build(config: ModelConfig, classes: int) -> Backbone:
    """The model of `config` with a new head of `classes` outputs.

    The weights' own head is always dropped, also where its size would fit: fine-tuning starts a new one, at zero.
    `weights: none` draws from torch's global generator, so seed it first.

    Raises:
        ModelError: an unknown name, weights that cannot be had or do not fit, an option the model does not take.
    """
    family, name = _family(config.name)
    family.check_name(name)
    source = weights.read(config.weights) if config.weights not in ("none", "pretrained") else None
    found = source.preprocess if source and source.preprocess else family.preprocess(name)
    preprocess = overridden(found, config.preprocess)
    module = family.create(name, config, classes, preprocess.image_px)
    layout = family.layout(module)
    digest = "none"
    if config.weights != "none":
        raw = source.state if source else family.pretrained(name, preprocess.image_px)
        digest = weights.state_digest(raw)
        where = f"{config.weights} (of {source.model})" if source and source.model else config.weights
        weights.fit(module, family.adapt(name, module, raw), layout.head, where)
        _silence(module, layout.head)
    return Backbone(config.name, module, layout.stages, layout.head, preprocess, digest, is_convolutional(module))


def _silence(module: nn.Module, head: tuple[str, ...]) -> None:
    """Zero the head's linear layers: its first guesses are even, and its first gradients small.

    timm's and torchvision's own initialisations are meant for training from scratch: MobileNetV2's gives a loss of 6
    on 6 classes. Source: Kolesnikov et al. 2020, Big Transfer.
    """
    for path, part in module.named_modules():
        if isinstance(part, nn.Linear | nn.Conv2d) and f"{path}.weight" in head:
            for parameter in part.parameters(recurse=False):
                nn.init.zeros_(parameter)


def preprocess_of(config: ModelConfig) -> Preprocess:
    """The preprocessing that `build(config, ...)` will have, without building the model.

    Raises:
        ModelError: an unknown name, or weights that are not there.
    """
    family, name = _family(config.name)
    family.check_name(name)
    source = weights.read(config.weights) if config.weights not in ("none", "pretrained") else None
    found = source.preprocess if source and source.preprocess else family.preprocess(name)
    return overridden(found, config.preprocess)


def overridden(found: Preprocess, override: PreprocessOverride) -> Preprocess:
    """`found` with the keys of `override` that are set; a new size keeps the ratio of crop to resize."""
    image_px = override.image_px or found.image_px
    resize_px = found.resize_px
    if override.crop_fraction is not None:
        resize_px = math.floor(image_px / override.crop_fraction)
    elif image_px != found.image_px:
        resize_px = math.floor(image_px * found.resize_px / found.image_px)
    return replace(
        found,
        image_px=image_px,
        resize_px=resize_px,
        interpolation=override.interpolation or found.interpolation,
        mean=override.mean or found.mean,
        std=override.std or found.std,
    )


def is_convolutional(module: nn.Module) -> bool:
    """True for networks that gain from channels-last: five or more convolutions whose windows overlap."""
    convolutions = (m for m in module.modules() if isinstance(m, nn.Conv2d))
    return sum(max(m.stride) < max(m.kernel_size) for m in convolutions) >= 5


def _family(name: str) -> tuple[Family, str]:
    if name.startswith(_TORCHVISION):
        return torchvision_family, name.removeprefix(_TORCHVISION)
    prefix, colon, _ = name.partition(":")
    if colon:
        raise ModelError(f"model.name: {prefix}: is not a library raytl knows; write a timm name or torchvision:<name>")
    return timm_family, name
