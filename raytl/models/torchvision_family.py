"""torchvision's classification models: names, preprocessing from their default weights, dropout and stochastic depth."""

from __future__ import annotations

from typing import Any, cast

import torchvision.models as zoo
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings
from torchvision.ops import StochasticDepth

from raytl.config.schema import ModelConfig
from raytl.data.bit_depth import RGB
from raytl.data.transforms import Preprocess
from raytl.errors import ModelError
from raytl.models.family import State, near_misses, no_weights, refuses
from raytl.models.stages import Layout
from raytl.models.structure import head_path, layout_of

_AUXILIARY = ("googlenet", "inception_v3")


def current_name(name: str) -> str:
    """Return `name`: torchvision has no renamed models."""
    return name


def check_name(name: str) -> None:
    """Raise ModelError with similar names if torchvision has no such classification model, or raytl does not support it."""
    names = zoo.list_models(module=zoo)
    if name not in names:
        raise ModelError(f"model.name: torchvision has no classification model {name!r}{near_misses(name, names)}")
    if name in _AUXILIARY:
        raise ModelError(
            f"model.name: torchvision:{name} trains with auxiliary heads, which raytl does not support; "
            "use timm's inception_v3 or another model"
        )


def preprocess(name: str) -> Preprocess:
    """Return the preprocessing of the default weights."""
    recipe: Any = zoo.get_model_weights(name).DEFAULT.transforms()
    return Preprocess(
        image_px=int(recipe.crop_size[0]),
        resize_px=int(recipe.resize_size[0]),
        crop_mode="center",
        interpolation=str(recipe.interpolation.value),
        mean=cast("tuple[float, float, float]", tuple(recipe.mean)),
        std=cast("tuple[float, float, float]", tuple(recipe.std)),
    )


def create(name: str, config: ModelConfig, classes: int, image_px: int, any_size: bool = False) -> nn.Module:
    """Return the module with random weights; `any_size` changes nothing, as only the ViTs have a fixed size."""
    options: dict[str, Any] = {}
    if image_px != preprocess(name).image_px:
        options = _size_option(name, image_px)
    try:
        module = cast(nn.Module, zoo.get_model(name, weights=None, num_classes=classes, **options))
    except (AssertionError, TypeError, ValueError, RuntimeError) as exc:
        raise refuses(f"torchvision:{name}", exc) from exc
    if config.channels != RGB:
        _set_channels(name, module, config.channels)
    if config.dropout is not None:
        _set_dropout(name, module, config.dropout)
    if config.drop_path is not None:
        _set_drop_path(name, module, config.drop_path)
    return module


def pretrained(name: str, image_px: int) -> State:
    """Return torchvision's default weights, including their head.

    Raises:
        ModelError: the weights cannot be downloaded.
    """
    try:
        default = zoo.get_model_weights(name).DEFAULT
        return cast(State, default.get_state_dict(progress=False, check_hash=True, weights_only=True))
    except (OSError, RuntimeError) as exc:
        raise no_weights(f"torchvision:{name}", exc) from exc


def adapt(name: str, module: nn.Module, state: State) -> State:
    """Resize the position embedding of a ViT to the image size of the module."""
    wanted = module.state_dict().get("encoder.pos_embedding")
    given = state.get("encoder.pos_embedding")
    if not isinstance(module, VisionTransformer) or wanted is None or given is None or wanted.shape == given.shape:
        return state
    try:
        return cast(State, interpolate_embeddings(module.image_size, module.patch_size, dict(state)))
    except (ValueError, RuntimeError):
        return state  # another architecture: the caller reports the shapes that differ


def layout(module: nn.Module) -> Layout:
    """Return the stages by the structure of the module."""
    return layout_of(module, [head_path(module)])


def _size_option(name: str, image_px: int) -> dict[str, Any]:
    """Return the option for the input size; only these two families have one."""
    if name.startswith("vit_"):
        return {"image_size": image_px}
    return {"input_size": (image_px, image_px)} if name.startswith("maxvit") else {}


def _set_channels(name: str, module: nn.Module, channels: int) -> None:
    """Replace the first convolution, of RGB, by one of so many channels with new filters."""
    first = next((pair for pair in module.named_modules() if isinstance(pair[1], nn.Conv2d)), None)
    if first is None or first[1].in_channels != RGB:
        raise ModelError(
            f"model.channels: torchvision:{name} does not begin with a convolution of RGB; choose another model"
        )
    path, old = first
    assert isinstance(old, nn.Conv2d)
    new = nn.Conv2d(
        channels, old.out_channels, cast("tuple[int, int]", old.kernel_size), cast("tuple[int, int]", old.stride),
        cast("tuple[int, int]", old.padding), bias=old.bias is not None,
    )  # fmt: skip
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    module.set_submodule(path, new)


def _set_dropout(name: str, module: nn.Module, rate: float) -> None:
    """Set the last dropout layer before the head; densenets have none."""
    top = head_path(module).partition(".")[0]
    dropouts = [m for n, m in module.named_modules() if isinstance(m, nn.Dropout) and n.partition(".")[0] == top]
    if not dropouts:
        raise ModelError(f"model.dropout: torchvision:{name} has no dropout before its head; remove the key")
    dropouts[-1].p = rate


def _set_drop_path(name: str, module: nn.Module, rate: float) -> None:
    """Set stochastic depth to grow linearly to `rate` at the top block (Huang et al. 2016)."""
    layers = [m for m in module.modules() if isinstance(m, StochasticDepth)]
    if not layers:
        raise ModelError(f"model.drop_path: torchvision:{name} has no stochastic depth; remove the key")
    highest = max(m.p for m in layers)
    for i, depth in enumerate(layers):
        fraction = depth.p / highest if highest else (i + 1) / len(layers)
        depth.p = rate * fraction
