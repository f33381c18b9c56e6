"""Find the map at the top of a network's stages by running it on a blank image.

Grad-CAM at a map explains the whole answer only if nothing reaches the answer past the map. That is measured, not assumed:
with the map held fixed, the output must not depend on the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from raytl.models.backbone import Backbone

FEWEST_CELLS = 3
"""Rows and columns that a map needs to show a place."""
_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class MapLayer:
    """A module whose output is a map of `size` (rows, columns): NCHW, or NHWC if `channels_last`."""

    name: str
    size: tuple[int, int]
    channels_last: bool = False

    def as_nchw(self, output: Tensor) -> Tensor:
        """Return the output of the module as `(b, channels, rows, columns)`."""
        return output.permute(0, 3, 1, 2) if self.channels_last else output


def map_layer(backbone: Backbone) -> MapLayer | None:
    """Return the last map of the stages; None if there is none, it is too coarse, or answers depend on more than it.

    Pooled values above the map are skipped. Tokens above it end the search: a network of tokens has a map at its stem only.
    """
    height, width = backbone.preprocess.view_size
    for name, output in reversed(_outputs(backbone)):
        if _is_pooled(output):
            continue
        layer = _layer(name, output, height / width)
        return layer if layer and min(layer.size) >= FEWEST_CELLS and _is_passed(backbone, layer) else None
    return None


@contextmanager
def hooked(module: nn.Module, hook: Any) -> Iterator[None]:
    """Call `hook` after each forward pass of `module` inside the block."""
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def view_of(backbone: Backbone, seed: int | None = None) -> Tensor:
    """Return one normalized input `(1, channels, h, w)`: the mean color, or with a `seed` noise."""
    preprocess, parameter = backbone.preprocess, next(backbone.module.parameters())
    shape = (1, preprocess.channels, *preprocess.view_size)
    if seed is None:
        return torch.zeros(*shape, device=parameter.device)
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(parameter.device)


@torch.no_grad()
def _outputs(backbone: Backbone) -> list[tuple[str, Any]]:
    """Return the modules of the stages with their outputs, in the order in which they end."""
    outputs: list[tuple[str, Any]] = []
    names = {name for stage in backbone.stages for name in stage.modules if name}
    handles = [
        part.register_forward_hook(lambda part, given, output, name=name: outputs.append((name, _shape(output))))
        for name, part in backbone.module.named_modules()
        if name in names
    ]
    try:
        backbone.module(view_of(backbone))
    finally:
        for handle in handles:
            handle.remove()
    return outputs


def _shape(output: Any) -> tuple[int, ...] | None:
    return tuple(output.shape) if isinstance(output, Tensor) else None


def _is_pooled(shape: tuple[int, ...] | None) -> bool:
    """Return True for one vector an image."""
    return shape is not None and sum(side > 1 for side in shape[1:]) <= 1


def _layer(name: str, shape: tuple[int, ...] | None, ratio: float) -> MapLayer | None:
    """Return the map of this shape, which has the `ratio` of height to width; None for other values."""
    if shape is None or len(shape) != 4:
        return None
    for rows, columns, is_last in ((shape[2], shape[3], False), (shape[1], shape[2], True)):
        if abs(rows - columns * ratio) < 1:
            return MapLayer(name, (rows, columns), is_last)
    return None


@torch.no_grad()
def _is_passed(backbone: Backbone, layer: MapLayer) -> bool:
    """Return whether the output depends on the image through `layer` alone: it stays the same while that map is held."""
    held: list[Tensor] = []

    def hold(part: nn.Module, given: Any, output: Tensor) -> Tensor:
        held.append(output.clone())
        return held[0].clone()

    with hooked(backbone.module.get_submodule(layer.name), hold):
        first, other = (backbone.module(view_of(backbone, seed)) for seed in (0, 1))
    return len(held) == 2 and torch.allclose(first, other, rtol=_TOLERANCE, atol=_TOLERANCE)
