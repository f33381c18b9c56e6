"""Adapt the filters of a pretrained first layer, which are those of RGB, to other channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from raytl.data.bit_depth import RGB
from raytl.errors import ModelError

Stem = Literal["repeat", "mean", "zero", "random"]
State = Mapping[str, Tensor]


def adapted(state: State, module: nn.Module, channels: int, stem: Stem) -> State:
    """Return the tensors with the filters of the first layer for so many channels, where `module` has them; others unchanged.

    The layer is the one whose filters differ from those of `module` in their input alone: 3 channels in `state`.
    """
    if channels == RGB:
        return state
    own = module.state_dict()
    return {
        name: _filters(tensor, own[name], stem) if name in own and _is_stem(tensor, own[name], channels) else tensor
        for name, tensor in state.items()
    }


def stem_of(state: State, module: nn.Module, channels: int) -> tuple[str, ...]:
    """Return the names of the filters that `adapted` changes.

    Raises:
        ModelError: there are none, and the module is one of other channels.
    """
    own = module.state_dict()
    names = tuple(name for name, tensor in state.items() if name in own and _is_stem(tensor, own[name], channels))
    if not names and not any(tensor.ndim == 4 and tensor.shape[1] == channels for tensor in own.values()):
        raise ModelError(
            f"model.channels: {type(module).__name__} has no first layer of {channels} channels whose filters can be made from "
            "those of RGB; choose another model, or set model.weights to none"
        )
    return names


def _is_stem(given: Tensor, own: Tensor, channels: int) -> bool:
    return (
        given.ndim == own.ndim == 4
        and (given.shape[1], own.shape[1]) == (RGB, channels)
        and (given.shape[0], *given.shape[2:]) == (own.shape[0], *own.shape[2:])
    )


def _filters(rgb: Tensor, own: Tensor, stem: Stem) -> Tensor:
    """Return filters `(out, channels, h, w)` from those of RGB, `(out, 3, h, w)`."""
    channels = own.shape[1]
    if stem == "random":  # always the same, so that the digest of the weights names them
        new = torch.empty(own.shape)
        nn.init.kaiming_normal_(new, mode="fan_out", generator=torch.Generator().manual_seed(0))
        return new
    values = rgb.float()
    if stem == "repeat":  # the same arithmetic as timm's adapt_input_conv
        whole = values.repeat(1, -(-channels // RGB), 1, 1)[:, :channels]
        return (whole * (RGB / float(channels))).to(rgb.dtype)
    if stem == "mean":
        return (
            (values.mean(dim=1, keepdim=True).expand(-1, channels, -1, -1) * (RGB / channels))
            .contiguous()
            .to(rgb.dtype)
        )
    new = torch.zeros(values.shape[0], channels - RGB, *values.shape[2:], dtype=values.dtype)
    return torch.cat([values, new], dim=1).to(rgb.dtype)
