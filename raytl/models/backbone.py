"""A pretrained backbone with a new head, as one value for every model library."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from raytl.config.schema import ModelConfig, PreprocessOverride
from raytl.data.bit_depth import RGB, BitDepth
from raytl.data.transforms import Preprocess
from raytl.errors import ModelError
from raytl.models import stem, timm_family, torchvision_family, weights
from raytl.models.card import PREPROCESS_FORMAT
from raytl.models.family import Family, State
from raytl.models.pruned import check_answers, fit_channels
from raytl.models.stages import Stage
from raytl.models.state_dicts import Candidate, Taken
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

__all__ = ["Backbone", "Stage", "build", "preprocess_of"]

_FAMILIES: Mapping[str, Family] = {"": timm_family, "torchvision:": torchvision_family}
"""The libraries of models, by the prefix of their names."""


@dataclass(frozen=True)
class Backbone:
    """A module of images `(batch, channels, height, width) float32`, divided into stages bottom to top and a head.

    A classifier returns logits `(batch, classes)`, and a dense network the maps of its task (see `dense`).

    `name` is the library's current name of the model. `head` lists the tensors that are new, of the neck and the head, by
    name; `weights_digest` identifies the pretrained tensors ("none" = random). `notes` report each value that replaces one
    from the experiment. `evaluated` are the modules that stay in evaluation mode even where their stage trains. With
    `has_own_statistics`, the mean and deviation are the model's own or given; else those of the training images replace them.
    """

    name: str
    module: nn.Module
    stages: tuple[Stage, ...]
    head: tuple[str, ...]
    preprocess: Preprocess
    weights_digest: str
    convolutional: bool
    notes: tuple[str, ...] = ()
    evaluated: frozenset[str] = frozenset()
    has_own_statistics: bool = True
    statistics: str = ""
    """Digest of the BatchNorm statistics that replaced those of the weights; empty if they are those of the weights."""
    pruned: float | None = None
    """The fraction of the channels of each layer that the weights lack, as they are of a pruned model; None = none."""
    undecayed: frozenset[str] = frozenset()
    """The parameters that the model excludes from weight decay, of a part of it that cannot say so itself."""

    def reading(self, depth: BitDepth) -> Backbone:
        """Return the same backbone for images scaled by `depth`, with its mean and deviation if the model has none of its own."""
        depth = depth.without_statistics() if self.has_own_statistics else depth
        return replace(self, preprocess=self.preprocess.at(depth))

    def with_frozen_statistics(self) -> Backbone:
        """Return the same backbone whose BatchNorm layers keep their statistics."""
        return replace(self, evaluated=self.evaluated | batch_norms(self.module))

    @property
    def sizes(self) -> dict[str, int]:
        """Parameters of each stage, bottom to top, and of the `head`."""
        counts = {name: parameter.numel() for name, parameter in self.module.named_parameters()}
        stages = {stage.name: sum(counts[n] for n in stage.parameters) for stage in self.stages}
        return {**stages, "head": sum(counts.get(n, 0) for n in self.head)}


def build(
    config: ModelConfig,
    classes: int,
    s3: S3Settings = ENVIRONMENT,
    unused: Callable[[nn.Module], Sequence[str]] | None = None,
) -> Backbone:
    """Build the model of `config` with a new head of `classes` outputs; from a pruned model, with its channels.

    Always drop the head of the weights, even if its size matches: fine-tuning starts with a new, zero-initialized head.
    `weights: none` draws from torch's global generator, so seed it first. `unused` returns the tensors of the module that
    a dense network drops: its weights need not have them, and it accepts images of any size if the architecture can.

    Raises:
        ModelError: the name is unknown, the weights are unavailable or do not match, or the model rejects an option.
    """
    family, name = _family(config.name)
    source = weights.read(config.weights, s3) if config.weights not in ("none", "pretrained") else None
    default = source.preprocess if source and source.preprocess else family.preprocess(name)
    preprocess = overridden(default, config.preprocess, config.channels)
    module = family.create(name, config, classes, preprocess.image_px, any_size=unused is not None)
    layout = family.layout(module)
    head = layout.head if unused is None else (*layout.head, *unused(module))
    pruned = source.pruned if source else None
    if source is not None and pruned is not None:
        _check_pruned(source, config, name, is_dense=unused is not None)
        fit_channels(module, source.state, head)
    digest, notes = "none", _renamed(config, name)
    if config.weights != "none":
        source = source or _pretrained(family, name, preprocess.image_px)

        def fitted(state: State) -> State:
            return stem.adapted(family.adapt(name, module, state), module, config.channels, config.stem)

        taken = weights.take(source, module, head, fitted)
        digest = weights.state_digest(taken.tensors if config.channels == RGB else fitted(taken.tensors))
        notes += (f"model.weights: {source.name}: {taken.text}",) if taken.text else ()
        notes += _stem_note(config, module, taken.tensors)
        weights.fit(module, fitted(taken.tensors), head, _where(config, source, taken))
        if pruned is not None:
            check_answers(module, preprocess, classes, f"model.weights: {config.weights}")
        zero_init_head(module, layout.head)
    full = f"{_library(config.name)}{name}"
    backbone = Backbone(
        full, module, layout.stages, layout.head, preprocess, digest, is_convolutional(module), notes,
        has_own_statistics=config.channels == RGB or config.preprocess.mean is not None, pruned=pruned,
    )  # fmt: skip
    return backbone.with_frozen_statistics() if config.batch_norm == "frozen" else backbone


def _stem_note(config: ModelConfig, module: nn.Module, state: State) -> tuple[str, ...]:
    """Return what became of the first layer's filters, if the images have other than three channels."""
    if config.channels == RGB or not (names := stem.stem_of(state, module, config.channels)):
        return ()
    return (
        f"model.stem: {config.stem}: the filters of {', '.join(names)}, of RGB, became those of {config.channels} channels",
    )


def batch_norms(module: nn.Module) -> frozenset[str]:
    """Return the names of the BatchNorm layers of `module`."""
    return frozenset(name for name, part in module.named_modules() if isinstance(part, _BatchNorm))


def _pretrained(family: Family, name: str, image_px: int) -> weights.Source:
    return weights.Source((Candidate("", family.pretrained(name, image_px)),), name=name)


def _check_pruned(source: weights.Source, config: ModelConfig, name: str, is_dense: bool) -> None:
    """Check that the network `name` of a library can have the channels of a pruned model.

    Raises:
        ModelError: its architecture, its task or its images differ.
    """
    assert source.preprocess is not None and source.model is not None, "only a saved model is pruned"
    if _architecture(source.model) != _architecture(f"{_library(config.name)}{name}"):
        raise ModelError(
            f"model.weights: {config.weights} is a pruned {source.model}, and model.name is {config.name}; expected weights of "
            "the same architecture. Set model.name to the architecture of the weights"
        )
    if is_dense or source.preprocess.channels != config.channels:
        need = "this task needs feature maps" if is_dense else f"model.channels is {config.channels}"
        raise ModelError(
            f"model.weights: {config.weights} is a pruned classifier of {source.preprocess.channels} channels, and {need}; "
            "expected weights that are not pruned. Name the run that it was pruned from"
        )


def _where(config: ModelConfig, source: weights.Source, taken: Taken) -> str:
    parts = [f"of {source.model}"] if source.model else []
    parts += [taken.text] if taken.text else []
    return f"{config.weights} ({'; '.join(parts)})" if parts else config.weights


def zero_init_head(module: nn.Module, head: tuple[str, ...]) -> None:
    """Set the head's linear layers to zero, so that the first predictions are uniform and the first gradients small.

    The initializations of timm and torchvision are meant for training from scratch: MobileNetV2's gives a loss of 6
    on 6 classes. Source: Kolesnikov et al. 2020, Big Transfer.
    """
    for path, part in module.named_modules():
        if isinstance(part, nn.Linear | nn.Conv2d) and f"{path}.weight" in head:
            for parameter in part.parameters(recurse=False):
                nn.init.zeros_(parameter)


def preprocess_of(config: ModelConfig, s3: S3Settings = ENVIRONMENT) -> Preprocess:
    """Return the preprocessing of `build(config, ...)` without building the model.

    Raises:
        ModelError: the name is unknown or the weights are missing.
    """
    family, name = _family(config.name)
    source = weights.read(config.weights, s3) if config.weights not in ("none", "pretrained") else None
    default = source.preprocess if source and source.preprocess else family.preprocess(name)
    return overridden(default, config.preprocess, config.channels)


def native_px(config: ModelConfig) -> int:
    """Return the native image size of the model, ignoring overrides in `config`.

    Raises:
        ModelError: the name is unknown.
    """
    family, name = _family(config.name)
    return family.preprocess(name).image_px


def overridden(default: Preprocess, override: PreprocessOverride, channels: int = RGB) -> Preprocess:
    """Return `default` with the keys that `override` sets; a new size keeps the ratio of crop to resize. Of other `channels`, a
    mean and deviation of 0.5 stand in until those of the training images are measured.

    Raises:
        ModelError: a value is out of bounds, or cannot take effect.
    """
    if len(default.mean) != channels:
        default = replace(default, mean=(0.5,) * channels, std=(0.5,) * channels, bit_depth=BitDepth())
    sized = _sized(default, override)
    wanted = replace(
        sized,
        interpolation=override.interpolation or sized.interpolation,
        mean=override.mean or sized.mean,
        std=override.std or sized.std,
    )
    return PREPROCESS_FORMAT.typed(wanted.to_json(), "model.preprocess")


def _sized(default: Preprocess, override: PreprocessOverride) -> Preprocess:
    """Return `default` with the frame, or the size of the crop and of the resized image, that `override` sets."""
    given = override.image_px
    if isinstance(given, tuple) or default.frame is not None:
        if override.crop_fraction is not None:
            raise ModelError(
                f"model.preprocess.crop_fraction: found {override.crop_fraction:g}; expected none, as images are fitted whole "
                "into the frame. Remove the key"
            )
        frame = (given, given) if isinstance(given, int) else given
        return default if frame is None else default.fit(frame)
    image_px, resize_px = given or default.image_px, default.resize_px
    if override.crop_fraction is not None:
        resize_px = math.floor(image_px / override.crop_fraction)
    elif image_px != default.image_px:
        resize_px = math.floor(image_px * default.resize_px / default.image_px)
    return replace(default, image_px=image_px, resize_px=resize_px)


def is_convolutional(module: nn.Module) -> bool:
    """Return True if channels-last speeds the network up: it has five or more convolutions with overlapping windows."""
    convolutions = (m for m in module.modules() if isinstance(m, nn.Conv2d))
    return sum(max(m.stride) < max(m.kernel_size) for m in convolutions) >= 5


def _family(full: str) -> tuple[Family, str]:
    """Return the library of a model and its current name there.

    Raises:
        ModelError: the library or the model is unknown.
    """
    prefix = _library(full)
    if prefix not in _FAMILIES:
        raise ModelError(f"model.name: {prefix} is not a supported library; write a timm name or torchvision:<name>")
    family = _FAMILIES[prefix]
    name = family.current_name(full.removeprefix(prefix))
    family.check_name(name)
    return family, name


def _architecture(full: str) -> str:
    """Return the current name of a model without the tag of its weights; a name that no library has, as it is."""
    try:
        name = _family(full)[1]
    except ModelError:
        return full
    return f"{_library(full)}{name.partition('.')[0]}"


def _library(full: str) -> str:
    """Return the library prefix of a model name, including the colon; empty for timm."""
    return "".join(full.partition(":")[:2]) if ":" in full else ""


def _renamed(config: ModelConfig, name: str) -> tuple[str, ...]:
    old = config.name.removeprefix(_library(config.name))
    return () if old == name else (f"model.name: timm renamed {old!r} to {name!r}; using the new name",)
