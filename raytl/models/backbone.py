"""A pretrained backbone with a new head, as one value whatever library it comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.data.bit_depth import BitDepth
from raytl.data.transforms import Preprocess
from raytl.errors import ModelError
from raytl.models import timm_family, torchvision_family, weights
from raytl.models.card import PREPROCESS_FORMAT
from raytl.models.family import Family
from raytl.models.stages import Stage
from raytl.models.state_dicts import Candidate, Taken
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

__all__ = ["Backbone", "Stage", "build", "preprocess_of"]

_FAMILIES: Mapping[str, Family] = {"": timm_family, "torchvision:": torchvision_family}
"""The libraries of models, by the prefix of their names."""


@dataclass(frozen=True)
class Backbone:
    """A module `(batch, 3, px, px) float32 -> (batch, classes)`, divided into stages bottom to top and a head.

    `name` is the library's current name of the model. `head` names the head's tensors, `weights_digest` the pretrained
    tensors it started from ("none" = random). `notes` say what was taken for what the experiment asks for, where they differ.
    """

    name: str
    module: nn.Module
    stages: tuple[Stage, ...]
    head: tuple[str, ...]
    preprocess: Preprocess
    weights_digest: str
    convolutional: bool
    notes: tuple[str, ...] = ()

    def reading(self, depth: BitDepth) -> Backbone:
        """Return the same backbone for images that are scaled by `depth`."""
        return replace(self, preprocess=self.preprocess.at(depth))

    @property
    def sizes(self) -> dict[str, int]:
        """Parameters of each stage, bottom to top, and of the `head`."""
        counts = {name: parameter.numel() for name, parameter in self.module.named_parameters()}
        stages = {stage.name: sum(counts[n] for n in stage.parameters) for stage in self.stages}
        return {**stages, "head": sum(counts.get(n, 0) for n in self.head)}


def build(config: ModelConfig, classes: int, s3: S3Settings = ENVIRONMENT) -> Backbone:
    """The model of `config` with a new head of `classes` outputs.

    The weights' own head is always dropped, also where its size would fit: fine-tuning starts a new one, at zero.
    `weights: none` draws from torch's global generator, so seed it first.

    Raises:
        ModelError: an unknown name, weights that cannot be had or do not fit, an option the model does not take.
    """
    family, name = _family(config.name)
    source = weights.read(config.weights, s3) if config.weights not in ("none", "pretrained") else None
    found = source.preprocess if source and source.preprocess else family.preprocess(name)
    preprocess = overridden(found, config.preprocess)
    module = family.create(name, config, classes, preprocess.image_px)
    layout = family.layout(module)
    digest, notes = "none", _renamed(config, name)
    if config.weights != "none":
        source = source or _pretrained(family, name, preprocess.image_px)
        taken = weights.take(source, module, layout.head, lambda state: family.adapt(name, module, state))
        digest = weights.state_digest(taken.tensors)
        notes += (f"model.weights: {source.name}: {taken.text}",) if taken.text else ()
        weights.fit(module, family.adapt(name, module, taken.tensors), layout.head, _where(config, source, taken))
        zero_init_head(module, layout.head)
    full = f"{_library(config.name)}{name}"
    return Backbone(full, module, layout.stages, layout.head, preprocess, digest, is_convolutional(module), notes)


def _pretrained(family: Family, name: str, image_px: int) -> weights.Source:
    return weights.Source((Candidate("", family.pretrained(name, image_px)),), name=name)


def _where(config: ModelConfig, source: weights.Source, taken: Taken) -> str:
    parts = [f"of {source.model}"] if source.model else []
    parts += [taken.text] if taken.text else []
    return f"{config.weights} ({'; '.join(parts)})" if parts else config.weights


def zero_init_head(module: nn.Module, head: tuple[str, ...]) -> None:
    """Zero the head's linear layers: its first guesses are even, and its first gradients small.

    timm's and torchvision's own initialisations are meant for training from scratch: MobileNetV2's gives a loss of 6
    on 6 classes. Source: Kolesnikov et al. 2020, Big Transfer.
    """
    for path, part in module.named_modules():
        if isinstance(part, nn.Linear | nn.Conv2d) and f"{path}.weight" in head:
            for parameter in part.parameters(recurse=False):
                nn.init.zeros_(parameter)


def preprocess_of(config: ModelConfig, s3: S3Settings = ENVIRONMENT) -> Preprocess:
    """The preprocessing that `build(config, ...)` will have, without building the model.

    Raises:
        ModelError: an unknown name, or weights that are not there.
    """
    family, name = _family(config.name)
    source = weights.read(config.weights, s3) if config.weights not in ("none", "pretrained") else None
    found = source.preprocess if source and source.preprocess else family.preprocess(name)
    return overridden(found, config.preprocess)


def native_px(config: ModelConfig) -> int:
    """Return the image size that the model was made for, whatever `config` overrides.

    Raises:
        ModelError: an unknown name.
    """
    family, name = _family(config.name)
    return family.preprocess(name).image_px


def overridden(found: Preprocess, override: PreprocessOverride) -> Preprocess:
    """`found` with the keys of `override` that are set; a new size keeps the ratio of crop to resize.

    Raises:
        ModelError: it is outside the bounds of what a saved model may ask for.
    """
    image_px = override.image_px or found.image_px
    resize_px = found.resize_px
    if override.crop_fraction is not None:
        resize_px = math.floor(image_px / override.crop_fraction)
    elif image_px != found.image_px:
        resize_px = math.floor(image_px * found.resize_px / found.image_px)
    wanted = replace(
        found,
        image_px=image_px,
        resize_px=resize_px,
        interpolation=override.interpolation or found.interpolation,
        mean=override.mean or found.mean,
        std=override.std or found.std,
    )
    return PREPROCESS_FORMAT.typed(wanted.to_json(), "model.preprocess")


def is_convolutional(module: nn.Module) -> bool:
    """True for networks that gain from channels-last: five or more convolutions whose windows overlap."""
    convolutions = (m for m in module.modules() if isinstance(m, nn.Conv2d))
    return sum(max(m.stride) < max(m.kernel_size) for m in convolutions) >= 5


def _family(full: str) -> tuple[Family, str]:
    """Return the library of a model, and the library's current name of it.

    Raises:
        ModelError: there is no such library, or no such model in it.
    """
    prefix = _library(full)
    if prefix not in _FAMILIES:
        raise ModelError(f"model.name: {prefix} is not a library raytl knows; write a timm name or torchvision:<name>")
    family = _FAMILIES[prefix]
    name = family.current_name(full.removeprefix(prefix))
    family.check_name(name)
    return family, name


def _library(full: str) -> str:
    """Return the library's prefix of a model's name, with the colon; empty for timm."""
    return "".join(full.partition(":")[:2]) if ":" in full else ""


def _renamed(config: ModelConfig, name: str) -> tuple[str, ...]:
    old = config.name.removeprefix(_library(config.name))
    return () if old == name else (f"model.name: {old!r} is timm's old name of {name!r}; using that",)
