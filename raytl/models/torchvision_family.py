"""torchvision's classification models: names, preprocessing from their default weights, dropout and stochastic depth."""

from __future__ import annotations

from typing import Any, cast

import torchvision.models as zoo
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings
from torchvision.ops import StochasticDepth

from raytl.config.schema import ModelConfig
from raytl.data.transforms import Preprocess
from raytl.errors import ModelError
from raytl.models.family import State, near_misses, no_weights, refuses
from raytl.models.stages import Layout
from raytl.models.structure import head_path, layout_of

_AUXILIARY = ("googlenet", "inception_v3")


def current_name(name: str) -> str:
    """Return `name`: torchvision renames no model."""
    return name


def check_name(name: str) -> None:
    """Raises ModelError with near misses where torchvision has no such classification model, or it is not supported."""
    known = zoo.list_models(module=zoo)
    if name not in known:
        raise ModelError(f"model.name: torchvision has no classification model {name!r}{near_misses(name, known)}")
    if name in _AUXILIARY:
        raise ModelError(
            f"model.name: torchvision:{name} trains with auxiliary heads, which raytl does not; "
            "take timm's inception_v3, or another model"
        )


def preprocess(name: str) -> Preprocess:
    """The preprocessing of the default weights."""
    recipe: Any = zoo.get_model_weights(name).DEFAULT.transforms()
    return Preprocess(
        image_px=int(recipe.crop_size[0]),
        resize_px=int(recipe.resize_size[0]),
        crop_mode="center",
        interpolation=str(recipe.interpolation.value),
        mean=cast("tuple[float, float, float]", tuple(recipe.mean)),
        std=cast("tuple[float, float, float]", tuple(recipe.std)),
    )


def create(name: str, config: ModelConfig, classes: int, image_px: int) -> nn.Module:
    """The module with random weights."""
    options: dict[str, Any] = {}
    if image_px != preprocess(name).image_px:
        options = _size_option(name, image_px)
    try:
        module = cast(nn.Module, zoo.get_model(name, weights=None, num_classes=classes, **options))
    except (AssertionError, TypeError, ValueError, RuntimeError) as exc:
        raise refuses(f"torchvision:{name}", exc) from exc
    if config.dropout is not None:
        _set_dropout(name, module, config.dropout)
    if config.drop_path is not None:
        _set_drop_path(name, module, config.drop_path)
    return module


def pretrained(name: str, image_px: int) -> State:
    """The tensors of torchvision's default weights, with their own head.

    Raises:
        ModelError: the weights cannot be fetched.
    """
    try:
        default = zoo.get_model_weights(name).DEFAULT
        return cast(State, default.get_state_dict(progress=False, check_hash=True, weights_only=True))
    except (OSError, RuntimeError) as exc:
        raise no_weights(f"torchvision:{name}", exc) from exc


def adapt(name: str, module: nn.Module, state: State) -> State:
    """`state` with a ViT's position embedding resized to the module's image size."""
    wanted = module.state_dict().get("encoder.pos_embedding")
    found = state.get("encoder.pos_embedding")
    if not isinstance(module, VisionTransformer) or wanted is None or found is None or wanted.shape == found.shape:
        return state
    try:
        return cast(State, interpolate_embeddings(module.image_size, module.patch_size, dict(state)))
    except (ValueError, RuntimeError):
        return state  # another architecture: the caller says which shapes differ


def layout(module: nn.Module) -> Layout:
    """Stages from the module's own structure."""
    return layout_of(module, [head_path(module)])


def _size_option(name: str, image_px: int) -> dict[str, Any]:
    """Only these two fix the size of their input."""
    if name.startswith("vit_"):
        return {"image_size": image_px}
    return {"input_size": (image_px, image_px)} if name.startswith("maxvit") else {}


def _set_dropout(name: str, module: nn.Module, rate: float) -> None:
    """Set the last dropout before the head; densenets hold theirs as a number of the dense layers."""
    top = head_path(module).partition(".")[0]
    found = [m for n, m in module.named_modules() if isinstance(m, nn.Dropout) and n.partition(".")[0] == top]
    if not found:
        raise ModelError(f"model.dropout: torchvision:{name} has no dropout before its head; leave the key out")
    found[-1].p = rate


def _set_drop_path(name: str, module: nn.Module, rate: float) -> None:
    """Stochastic depth that grows linearly up to `rate` at the top block (Huang et al. 2016)."""
    found = [m for m in module.modules() if isinstance(m, StochasticDepth)]
    if not found:
        raise ModelError(f"model.drop_path: torchvision:{name} has no stochastic depth; leave the key out")
    most = max(m.p for m in found)
    for i, depth in enumerate(found):
        share = depth.p / most if most else (i + 1) / len(found)
        depth.p = rate * share
