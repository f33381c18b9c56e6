"""timm's models: names, preprocessing from the pretrained config, and stages from `group_matcher`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import timm
from timm.data.config import resolve_data_config
from timm.models import get_deprecated_models, get_pretrained_cfg, list_pretrained, model_entrypoint
from timm.models._manipulate import group_with_matcher
from torch import nn

from raytl.config.schema import ModelConfig
from raytl.data.bit_depth import RGB
from raytl.data.transforms import Preprocess
from raytl.errors import ModelError
from raytl.models.family import State, near_misses, no_weights, refuses
from raytl.models.stages import Layout, divide, is_under
from raytl.models.structure import layout_of

_UNMATCHED = "\0"
"""A name that no matcher matches: its group is that of all unmatched tensors."""
_ANY_SIZE = ({"dynamic_img_size": True, "dynamic_img_pad": True}, {"strict_img_size": False})
"""The options for images of any size: of plain ViTs, and of windowed networks."""


def current_name(name: str) -> str:
    """Return timm's current name of a deprecated model, with the tag of its weights; any other name unchanged.

    Raises:
        ModelError: timm removed the model without a replacement.
    """
    base, _, tag = name.partition(".")
    renamed = get_deprecated_models()
    if base not in renamed:
        return name
    current = renamed[base]
    if current is None:
        raise ModelError(f"model.name: timm removed {base!r} without a replacement; choose another model")
    current_base, _, current_tag = current.partition(".")
    tag = tag or _registered_tag(current_base, current_tag)
    return f"{current_base}.{tag}" if tag else current_base


def check_name(name: str) -> None:
    """Raise ModelError with similar names if timm has no such model or tag."""
    base, _, tag = name.partition(".")
    if not timm.is_model(base):
        names = timm.list_models()
        raise ModelError(f"model.name: timm has no model {name!r}{near_misses(base, names)}")
    tags = _tags(base)
    if tag and tag not in tags:
        raise ModelError(f"model.name: {base} has no weights tagged {tag!r}; its tags: {', '.join(tags) or 'none'}")


def preprocess(name: str) -> Preprocess:
    """Return the preprocessing of the pretrained weights, from their config."""
    config = _config(name)
    resolved: dict[str, Any] = cast(Any, resolve_data_config)({}, pretrained_cfg=config)
    _, height, width = resolved["input_size"]
    mode = resolved["crop_mode"] or "center"
    if height != width or mode not in ("center", "squash"):
        raise ModelError(
            f"model.name: {name} needs {height} x {width} pixels cropped by {mode!r}; expected square inputs "
            "cropped by center or squash. Choose another model"
        )
    return Preprocess(
        image_px=height,
        resize_px=math.floor(height / resolved["crop_pct"]),
        crop_mode=cast('Literal["center", "squash"]', mode),
        interpolation=resolved["interpolation"],
        mean=_triple(resolved["mean"]),
        std=_triple(resolved["std"]),
    )


def create(name: str, config: ModelConfig, classes: int, image_px: int, any_size: bool = False) -> nn.Module:
    """Return the module with random weights; with `any_size`, for images of any size where the architecture allows it."""
    given = {"drop_rate": config.dropout, "drop_path_rate": config.drop_path}
    options: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    options |= {"in_chans": config.channels} if config.channels != RGB else {}
    for flexible in _ANY_SIZE if any_size and _config(name).get("fixed_input_size") else ():
        try:
            return timm.create_model(name, num_classes=classes, **(options | flexible))
        except TypeError:  # the architecture has no such option
            continue
    return _create(name, image_px, num_classes=classes, **options)


def pretrained(name: str, image_px: int) -> State:
    """Return timm's pretrained tensors, including their head.

    Raises:
        ModelError: the weights cannot be downloaded, or there are none.
    """
    try:
        return _create(name, image_px, pretrained=True).state_dict()
    except ModelError:
        raise
    except Exception as exc:  # each source (hub, URL, mirror) has its own errors
        raise no_weights(name, exc) from exc


def adapt(name: str, module: nn.Module, state: State) -> State:
    """Apply the architecture's own `checkpoint_filter_fn`, which renames keys and resizes position embeddings."""
    source = inspect.getmodule(model_entrypoint(name.partition(".")[0]))
    change = getattr(source, "checkpoint_filter_fn", None)
    if change is None:
        return state
    try:
        return cast(State, change(dict(state), module))
    except (KeyError, AttributeError, IndexError, TypeError, ValueError, RuntimeError, AssertionError):
        return state  # weights of another architecture: the caller reports the keys that differ


def layout(module: nn.Module) -> Layout:
    """Return stages from `group_matcher(coarse=True)`; unmatched tensors join the top stage, the classifier is the head.

    Models without a matcher are divided by their structure.

    Raises:
        ModelError: the model has no classifier.
    """
    head = _classifier(module)
    try:
        matcher = cast(Any, module).group_matcher(coarse=True)
    except (AttributeError, AssertionError, NotImplementedError):
        return layout_of(module, head)
    names = [n for n, _ in module.named_parameters()] + [n for n, _ in module.named_buffers()]
    trunk = [name for name in names if not is_under(name, head)]
    groups: Mapping[str, int] = group_with_matcher(
        ((name, name) for name in [*trunk, _UNMATCHED]), matcher, reverse=True
    )
    over = groups[_UNMATCHED]
    matched = [groups[name] for name in trunk if groups[name] != over]
    top = max(matched, default=0)
    return divide(module, {name: top if groups[name] == over else groups[name] for name in trunk})


def _create(name: str, image_px: int, **options: Any) -> nn.Module:
    if _config(name).get("fixed_input_size") and image_px != preprocess(name).image_px:
        options["img_size"] = image_px
    try:
        return timm.create_model(name, **options)
    except (TypeError, AssertionError) as exc:
        raise refuses(name, exc) from exc


def _tags(base: str) -> list[str]:
    return [full.partition(".")[2] for full in list_pretrained(f"{base}.*")]


def _registered_tag(base: str, tag: str) -> str:
    """Return `tag`, or the tag that extends it if timm's own table is out of date (`sam` is now `sam_in1k`)."""
    tags = _tags(base)
    if not tag or tag in tags:
        return tag
    return next((candidate for candidate in tags if candidate.startswith(f"{tag}_")), tag)


def _config(name: str) -> dict[str, Any]:
    config: Any = get_pretrained_cfg(name, allow_unregistered=True)
    return cast(dict[str, Any], config.to_dict()) if config else {}


def _classifier(module: nn.Module) -> list[str]:
    """Return the module paths of the classifier; distilled models have two."""
    config: Mapping[str, Any] = getattr(module, "pretrained_cfg", None) or {}
    named = config.get("classifier") or ()
    named = [named] if isinstance(named, str) else list(named)
    tensors = [name for name, _ in module.named_parameters()]
    heads = [head for head in named if any(is_under(name, [head]) for name in tensors)]
    if not heads:
        raise ModelError(
            f"model.name: {type(module).__name__} has no classifier to replace; choose a classification model"
        )
    return heads


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)
