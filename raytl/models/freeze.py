"""Freeze modules: no gradients, and evaluation mode even after `train()`.

Each frozen module gets an instance-level `train`, so that no caller at any level can re-enable BatchNorm statistics,
dropout or stochastic depth; removing it unfreezes the module.
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
    """The trainable part: the top `depth` stages (names, bottom to top) and the head; `names` are all their parameters."""

    depth: int
    stages: tuple[str, ...]
    names: frozenset[str]


def learning(backbone: Backbone, unfreeze: int | Literal["all"]) -> Learning:
    """Return the trainable part if the top `unfreeze` stages train; the stem counts as a stage.

    Raises:
        ModelError: there are fewer stages; the error lists them with their sizes.
    """
    count = len(backbone.stages)
    depth = count if unfreeze == "all" else unfreeze
    if not 0 <= depth <= count:
        raise ModelError(
            f"transfer.unfreeze: found {depth}, but {backbone.name} has {count} stages; "
            f"write 0 to {count}, or all:\n{stage_table(backbone)}"
        )
    top = backbone.stages[count - depth :]
    parameters = {name for name, _ in backbone.module.named_parameters()}
    names = frozenset(name for stage in top for name in stage.parameters) | (parameters & set(backbone.head))
    return Learning(depth, tuple(stage.name for stage in top), names)


def stage_table(backbone: Backbone) -> str:
    """Return one line per stage, from the top, with its number of parameters."""
    lines = [(name, f"{size:,}") for name, size in reversed(backbone.sizes.items())]
    wide = max(len(name) for name, _ in lines)
    return "\n".join(f"  {name:<{wide}}  {size:>12} parameters" for name, size in lines)


def apply_freeze(backbone: Backbone, depth: int) -> None:
    """Unfreeze the head and the top `depth` stages and freeze all below; may be called again with another depth.

    Unfrozen modules take the mode of the root module, but for those in `backbone.evaluated`; frozen parameters drop their
    gradients.
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
            if number < boundary or name in backbone.evaluated:
                _pin(modules[name])
            else:
                _release(modules[name], backbone.module.training)


def fingerprint(module: nn.Module) -> str:
    """Return the sha256 hex digest of the names and shapes of the trainable parameters, to compare with a checkpoint."""
    lines = sorted(f"{name} {tuple(p.shape)}" for name, p in module.named_parameters() if p.requires_grad)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _stay(module: nn.Module, mode: bool = True) -> nn.Module:
    """Stand in for `train` and `eval` of a frozen module: do nothing."""
    return module


def _pin(module: nn.Module) -> None:
    if not _is_pinned(module):
        # A partial, not a closure: a copy or pickle of the module then refers to itself.
        module.train(False)
        module.__dict__["train"] = functools.partial(_stay, module)


def _release(module: nn.Module, training: bool) -> None:
    if _is_pinned(module):
        del module.__dict__["train"]
        module.training = training


def _is_pinned(module: nn.Module) -> bool:
    return isinstance(module.__dict__.get("train"), functools.partial)
