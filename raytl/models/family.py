"""The interface that each model library (timm, torchvision) implements."""

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
    """One model library. `name` is the library's own name of a model, without raytl's prefix."""

    def current_name(self, name: str) -> str:
        """Return the current name of a model that the library renamed; any other name unchanged."""

    def check_name(self, name: str) -> None:
        """Raise ModelError with similar names if there is no such model."""

    def preprocess(self, name: str) -> Preprocess:
        """Return the preprocessing of the pretrained weights."""

    def create(self, name: str, config: ModelConfig, classes: int, image_px: int, any_size: bool = False) -> nn.Module:
        """Return the module with random weights; with `any_size`, for images of any size where the architecture allows it."""

    def pretrained(self, name: str, image_px: int) -> State:
        """Return the pretrained tensors, including their head."""

    def adapt(self, name: str, module: nn.Module, state: State) -> State:
        """Return tensors of older or foreign files, renamed and resized to match `module`."""

    def layout(self, module: nn.Module) -> Layout:
        """Return the stages and head of the module."""


def near_misses(name: str, names: Iterable[str]) -> str:
    """Return `; did you mean a or b or c?`, or an empty string."""
    close = difflib.get_close_matches(name, list(names), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def no_weights(name: str, exc: Exception) -> ModelError:
    """Return the error for pretrained weights that could not be downloaded."""
    reason = str(exc).strip().split("\n")[0].split(". ")[0][:200] or "no details"
    return ModelError(
        f"model.weights: pretrained weights of {name} could not be downloaded ({type(exc).__name__}: {reason}). Check the "
        "network, or set model.weights to a .safetensors or .pth file, or to none to train from scratch"
    )


def refuses(name: str, exc: Exception) -> ModelError:
    """Return the error for a model that rejects an option of the experiment."""
    return ModelError(f"model.name: {name} cannot be built with these model options: {exc}. Leave the option out")
