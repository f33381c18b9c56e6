"""Build optimizers by name: AdamW and SGD from torch, all others from timm, whose optimizers import torch's compiler."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from raytl.config.schema import OptimConfig
from raytl.errors import ConfigError
from raytl.models.family import near_misses
from raytl.models.overflow import skip_on_device

_OF_TORCH = ("adamw", "sgd")
_WAITING = ("adamp", "cadamp", "csgdp", "sgdp", "novograd", "novogradc", "novogradw")
"""Optimizers of timm that decide on the host by values of the device."""
_UNFIT = {
    "adahessian": "it needs second derivatives, which training does not compute",
    **dict.fromkeys(("kron", "kronc", "kronw"), "no checkpoint can hold its random numbers, so a run could not resume"),
}
"""Optimizers of timm that raytl cannot train with, and why."""


def build_optimizer(groups: Sequence[dict[str, Any]], config: OptimConfig) -> Optimizer:
    """Return the optimizer of `config` over `groups`, which have their own learning rates and weight decays.

    Raises:
        ConfigError: the optimizer is unknown, or its package is missing.
    """
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, betas=(config.momentum, 0.999), fused=True)
    if config.name == "sgd":
        nesterov = config.momentum > 0
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=nesterov, fused=True)
    from timm.optim._optim_factory import create_optimizer_v2

    check_optimizer(config.name)
    try:
        options = {"lr": config.lr, "filter_bias_and_bn": False, **_momentum(config)}
        return skip_on_device(create_optimizer_v2(groups, opt=config.name, **options))
    except (AssertionError, ImportError, RuntimeError, TypeError, ValueError) as exc:
        raise ConfigError(f"optim.name: {config.name} cannot be built here ({exc}); take adamw or sgd") from exc


def check_optimizer(name: str) -> None:
    """Raise ConfigError if there is no optimizer `name`, with similar names, or if training cannot use it, with the reason."""
    if name in _OF_TORCH:
        return
    if name in _UNFIT:
        raise ConfigError(f"optim.name: {name} does not work here: {_UNFIT[name]}; take adamw or sgd")
    from timm.optim._optim_factory import list_optimizers

    names = [str(each) for each in list_optimizers()]
    if name not in names:
        raise ConfigError(f"optim.name: there is no optimizer {name!r}{near_misses(name, names)}")


def waits_for_device(name: str) -> bool:
    """Return True if each step of the optimizer `name` makes the host wait for the device."""
    return name in _WAITING


def _momentum(config: OptimConfig) -> dict[str, Any]:
    """Return `optim.momentum` as an argument of this optimizer: its momentum, or its first beta."""
    from timm.optim._optim_factory import get_optimizer_info

    info = get_optimizer_info(config.name)
    if info.has_momentum:
        return {"momentum": config.momentum}
    default = inspect.signature(info.opt_class).parameters.get("betas") if inspect.isclass(info.opt_class) else None
    if info.has_betas and default is not None and isinstance(default.default, tuple):
        return {"betas": (config.momentum, *default.default[1:])}
    return {}
