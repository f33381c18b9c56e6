"""Frozen means frozen: no gradient, no gradient kept, and evaluation mode whatever `train()` is called.

Pinning is an instance-level `train` on every frozen module, so that no caller, at any level, can switch BatchNorm
statistics, dropout or stochastic depth on again; taking it away re-opens the module.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Literal

from torch import nn

from raytl.errors import ModelError
from raytl.models.backbone import Backbone


@dataclass(frozen=True, slots=True)
class Learning:
    """What learns: the top `depth` stages (their names, bottom to top) and the head; `names` are all their parameters."""

    depth: int
    stages: tuple[str, ...]
    names: frozenset[str]


def learning(backbone: Backbone, unfreeze: int | Literal["all"]) -> Learning:
    """What learns when the top `unfreeze` stages do, the stem counted as a stage.

    Raises:
        ModelError: more stages than there are; lists them with their sizes.
    """
    count = len(backbone.stages)
    depth = count if unfreeze == "all" else unfreeze
    if not 0 <= depth <= count:
        raise ModelError(
            f"transfer.unfreeze: {depth} stages asked for, {backbone.name} has {count}; "
            f"write 0 to {count}, or all:\n{stage_table(backbone)}"
        )
    top = backbone.stages[count - depth :]
    known = {name for name, _ in backbone.module.named_parameters()}
    names = frozenset(name for stage in top for name in stage.parameters) | (known & set(backbone.head))
    return Learning(depth, tuple(stage.name for stage in top), names)


def stage_table(backbone: Backbone) -> str:
    """One line for each stage from the top, with its parameters."""
    lines = [(name, f"{size:,}") for name, size in reversed(backbone.sizes.items())]
    wide = max(len(name) for name, _ in lines)
    return "\n".join(f"  {name:<{wide}}  {size:>12} parameters" for name, size in lines)


def apply_freeze(backbone: Backbone, depth: int) -> None:
    """Let the top `depth` stages and the head learn and freeze all below; call it again to open or close more.

    Modules that open take the mode of the root module; parameters that close drop their gradients.
    """
    names = learning(backbone, depth).names
    for name, parameter in backbone.module.named_parameters():
        parameter.requires_grad_(name in names)
        if name not in names:
            parameter.grad = None
    modules = dict(backbone.module.named_modules())
    boundary = len(backbone.stages) - depth
    for number, stage in enumerate(backbone.stages):
        for name in stage.modules:
            if number < boundary:
                _pin(modules[name])
            else:
                _release(modules[name], backbone.module.training)


def fingerprint(module: nn.Module) -> str:
    """sha256 hex over the names and shapes of what is trainable, to compare with a checkpoint's."""
    lines = sorted(f"{name} {tuple(p.shape)}" for name, p in module.named_parameters() if p.requires_grad)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _stay(module: nn.Module, mode: bool = True) -> nn.Module:
    """What `train` and `eval` do on a frozen module: nothing."""
    return module


def _pin(module: nn.Module) -> None:
    if not _is_pinned(module):
        # A partial, not a closure: copies and pickles of the module are pinned to themselves.
        module.train(False)
        module.__dict__["train"] = functools.partial(_stay, module)


def _release(module: nn.Module, training: bool) -> None:
    if _is_pinned(module):
        del module.__dict__["train"]
        module.training = training


def _is_pinned(module: nn.Module) -> bool:
    return isinstance(module.__dict__.get("train"), functools.partial)
