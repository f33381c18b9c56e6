"""A classification network as the feature maps of its stages: NCHW, from fine to coarse, with strides read from the model.

The network keeps its own parameter names under `body.`, so that its stages and the weights of any file fit as for
classification; the parts above the coarsest map are removed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

import torch
from torch import Tensor, nn

from raytl.errors import ModelError
from raytl.models.structure import head_path, is_block, units

COARSEST = 32
"""The stride of the coarsest map that is taken from a body."""
_BLANK = 64, 192
"""Rows and columns of the image that measures the strides of a network which does not state them."""


@dataclass(frozen=True, slots=True)
class Level:
    """A feature map: its channels, and the pixels of the image between two of its cells."""

    channels: int
    stride: int

    @property
    def octave(self) -> int:
        """The power of two nearest to the stride: 4 for 16, and for the 14 of some plain ViTs."""
        return round(math.log2(self.stride))


class Pyramid(nn.Module):
    """Images `(b, 3, h, w)` to a map `(b, channels, h / stride, w / stride)` for each of `levels`, from fine to coarse.

    Heights and widths that are not multiples of a stride are rounded as the network itself rounds them, mostly up.
    """

    def __init__(
        self,
        body: nn.Module,
        levels: Sequence[Level],
        taken: Sequence[int | str],
        trunk: Sequence[str] = (),
        channels_last: bool = False,
    ) -> None:
        """`taken` are the indices of timm's intermediate maps; with a `trunk`, the paths of the units to run, they are the
        paths of those after which maps are read. `channels_last` units compute in NHWC, as those of torchvision's Swin."""
        super().__init__()
        self.body, self.levels, self._taken, self._trunk = body, tuple(levels), tuple(taken), tuple(trunk)
        self._channels_last = channels_last

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps."""
        return self._in_sequence(images) if self._trunk else self._intermediates(images)

    def _intermediates(self, images: Tensor) -> list[Tensor]:
        maps = cast(Any, self.body).forward_intermediates(
            images,
            indices=list(self._taken),
            norm=len(self._taken) == 1,  # that of a plain ViT scales its only map; others are pruned
            stop_early=True,
            output_fmt="NCHW",
            intermediates_only=True,
        )
        return cast(list[Tensor], maps)

    def _in_sequence(self, images: Tensor) -> list[Tensor]:
        maps, value = [], images
        for path in self._trunk:
            value = self.body.get_submodule(path)(value)
            if path in self._taken:
                maps.append(value.permute(0, 3, 1, 2) if self._channels_last else value)
        return maps


def pyramid(module: nn.Module, finest: int, channels: int = 3) -> Pyramid:
    """Return the maps of `module` with strides from `finest` to `COARSEST`; it shares the tensors of `module`.

    Of the maps of one octave the last is taken. A network without maps this fine gives the finest that it has.

    Raises:
        ModelError: the network has no feature maps.
    """
    tensors = chain(module.parameters(), module.buffers())
    body = copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})
    if hasattr(body, "forward_intermediates"):
        return _from_timm(body, finest)
    return _from_units(body, finest, channels)


def _from_timm(body: nn.Module, finest: int) -> Pyramid:
    candidates = [Level(int(info["num_chs"]), int(info["reduction"])) for info in _feature_info(body)]
    taken = chosen(candidates, finest)
    levels = [candidates[i] for i in taken]
    cast(Any, body).prune_intermediate_layers(taken, prune_norm=len(taken) > 1, prune_head=True)
    return Pyramid(body, levels, taken)


def _feature_info(body: nn.Module) -> Sequence[Mapping[str, Any]]:
    info = cast(Any, body).feature_info
    return cast(Sequence[Mapping[str, Any]], getattr(info, "info", info))


def _from_units(body: nn.Module, finest: int, channels: int) -> Pyramid:
    """Return the maps of a network whose trunk runs unit by unit, as all of torchvision's but its ViTs."""
    head = [head_path(body)]
    trunk = dict(units(body, head))
    shapes = _shapes(body, trunk, channels)
    blocks = [path for path, unit in trunk.items() if is_block(unit)]
    blocks = [path for path in blocks if path in shapes] if blocks else list(shapes)
    last = all(_map_size(shapes[path], channels_last=True) for path in blocks)
    candidates = {path: _level(shapes[path], last) for path in blocks if _map_size(shapes[path], last)}
    if not candidates:
        raise ModelError(
            f"model.name: {type(body).__name__} has no feature maps; expected a network with maps. "
            "Choose a convolutional network, a Swin, or a timm model"
        )
    paths = list(candidates)
    taken = [paths[i] for i in chosen(list(candidates.values()), finest)]
    top = list(trunk).index(taken[-1]) + 1
    _remove(body, [*list(trunk)[top:], *head])
    return Pyramid(body, [candidates[path] for path in taken], taken, list(trunk)[:top], last)


def _shapes(body: nn.Module, trunk: Mapping[str, nn.Module], channels: int) -> dict[str, torch.Size]:
    """Return the shape after each unit for a blank image, up to the first unit that cannot run."""
    value, mode, shapes = torch.zeros(1, channels, *_BLANK), body.training, dict[str, torch.Size]()
    body.eval()
    try:
        with torch.no_grad():
            for path, unit in trunk.items():
                value = unit(value)
                shapes[path] = value.shape
    except (RuntimeError, TypeError, ValueError, AttributeError, AssertionError):
        pass  # above the maps: flattening, a classifier, or tokens
    finally:
        body.train(mode)
    return shapes


def _map_size(shape: torch.Size, channels_last: bool) -> tuple[int, int] | None:
    """Return the rows and columns of a map of the blank image; None for other values."""
    if len(shape) != 4:
        return None
    rows, columns = (shape[1], shape[2]) if channels_last else (shape[2], shape[3])
    return (rows, columns) if rows > 1 and rows * _BLANK[1] == columns * _BLANK[0] else None


def _level(shape: torch.Size, channels_last: bool) -> Level:
    return Level(shape[3] if channels_last else shape[1], _BLANK[0] // shape[1 if channels_last else 2])


def _remove(body: nn.Module, paths: Sequence[str]) -> None:
    for path in paths:
        parent, _, name = path.rpartition(".")
        del body.get_submodule(parent)._modules[name]


def chosen(candidates: Sequence[Level], finest: int) -> list[int]:
    """Return the indices of the maps to take: the last of each octave from `finest` to `COARSEST`, or the nearest one."""
    by_octave = {level.octave: i for i, level in enumerate(candidates)}
    low, high = round(math.log2(finest)), round(math.log2(COARSEST))
    inside = sorted(octave for octave in by_octave if low <= octave <= high)
    return [by_octave[octave] for octave in inside or [min(by_octave, key=lambda octave: abs(octave - high))]]
