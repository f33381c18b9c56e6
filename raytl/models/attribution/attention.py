"""Read the attention of each block of a plain ViT, of timm or torchvision, while the network runs.

timm's fused attention never has its weights as a tensor, so it is off while they are read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from raytl.models.attribution.layer import FEWEST_CELLS, hooked, view_of
from raytl.models.backbone import Backbone


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a ViT: the first `prefix` are not patches, the others are a square grid of `side` rows and columns.

    `read` are the tokens that the head averages.
    """

    blocks: int
    prefix: int
    side: int
    read: slice


def tokens_of(backbone: Backbone) -> Tokens | None:
    """Return the tokens of a network in which each block attends over all of them; None for other networks."""
    module: Any = backbone.module
    prefix = getattr(module, "num_prefix_tokens", 1 if hasattr(module, "class_token") else None)
    names = list(_readable(module))
    if not isinstance(prefix, int) or not names or not _one_a_stage(backbone, names):
        return None
    with torch.no_grad(), attention_of(module) as maps:
        module(view_of(backbone))
    count = maps[0].shape[-1] if maps else 0
    side = math.isqrt(max(0, count - prefix))
    is_whole = len(maps) == len(names) and all(one.ndim == 4 and one.shape[-2:] == (count, count) for one in maps)
    read = _read(module, prefix)
    if not is_whole or read is None or side**2 != count - prefix or side < FEWEST_CELLS:
        return None
    return Tokens(len(names), prefix, side, read)


@contextmanager
def attention_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Yield a list that fills with the attention of each block, `(b, heads, tokens, tokens)`, as the network runs."""
    maps: list[Tensor] = []
    with ExitStack() as stack:
        for part in _readable(module).values():
            stack.enter_context(_read_timm(part, maps) if hasattr(part, "fused_attn") else _read_torch(part, maps))
        yield maps


def _readable(module: nn.Module) -> dict[str, Any]:
    """Return the attention layers by name."""
    return {
        name: part
        for name, part in module.named_modules()
        if isinstance(part, nn.MultiheadAttention)
        or (hasattr(part, "fused_attn") and isinstance(getattr(part, "attn_drop", None), nn.Module))
    }


@contextmanager
def _read_timm(part: Any, maps: list[Tensor]) -> Iterator[None]:
    was = part.fused_attn
    part.fused_attn = False
    try:
        with hooked(part.attn_drop, lambda drop, given, output: maps.append(given[0].detach())):
            yield
    finally:
        part.fused_attn = was


@contextmanager
def _read_torch(part: nn.MultiheadAttention, maps: list[Tensor]) -> Iterator[None]:
    def ask(layer: nn.Module, given: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return given, options | {"need_weights": True, "average_attn_weights": False}

    handle = part.register_forward_pre_hook(ask, with_kwargs=True)
    try:
        with hooked(part, lambda layer, given, output: maps.append(output[1].detach())):
            yield
    finally:
        handle.remove()


def _one_a_stage(backbone: Backbone, names: Sequence[str]) -> bool:
    """Return whether each stage above the stem has one of the layers."""
    counts = [sum(name in stage.modules for name in names) for stage in backbone.stages]
    return counts[0] == 0 and all(count == 1 for count in counts[1:])


def _read(module: Any, prefix: int) -> slice | None:
    """Return the tokens that the head reads; None if it is not known."""
    pool = getattr(module, "global_pool", "token" if hasattr(module, "class_token") else None)
    if pool == "avg":
        return slice(prefix, None)
    return slice(0, 2 if hasattr(module, "head_dist") else 1) if pool == "token" and prefix else None
