"""What a library of models has to answer, so that timm and torchvision look the same from above."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Protocol

from torch import Tensor, nn

from raytl.config.schema import ModelConfig
from raytl.data.transforms import Preprocess
from raytl.errors import ModelError
from raytl.models.stages import Layout

State = Mapping[str, Tensor]


class Family(Protocol):
    """One library of models. `name` is the library's own, without raytl's prefix."""

    def current_name(self, name: str) -> str:
        """Return the library's current name of `name`, which is `name` itself unless the library renamed it."""

    def check_name(self, name: str) -> None:
        """Raises ModelError with near misses where there is no such model."""

    def preprocess(self, name: str) -> Preprocess:
        """The preprocessing of the pretrained weights."""

    def create(self, name: str, config: ModelConfig, classes: int, image_px: int) -> nn.Module:
        """The module with random weights."""

    def pretrained(self, name: str, image_px: int) -> State:
        """The pretrained tensors, with their own head."""

    def adapt(self, name: str, module: nn.Module, state: State) -> State:
        """Tensors of older or foreign files, renamed and resized as `module` names and sizes them."""

    def layout(self, module: nn.Module) -> Layout:
        """The module's stages and head."""


def near_misses(name: str, known: Iterable[str]) -> str:
    """`; did you mean a, b or c?`, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def no_weights(name: str, exc: Exception) -> ModelError:
    """The error for pretrained weights that could not be fetched."""
    reason = str(exc).strip().splitlines()[0][:200] if str(exc).strip() else type(exc).__name__
    return ModelError(
        f"model.weights: pretrained weights of {name} could not be fetched ({type(exc).__name__}: {reason}). Check the "
        "network, set model.weights to a .safetensors or .pth file that you have, or write none to start from scratch"
    )


def refuses(name: str, exc: Exception) -> ModelError:
    """The error for a model that does not take an option of the experiment."""
    return ModelError(f"model.name: {name} cannot be built with these model options: {exc}. Leave the option out")
