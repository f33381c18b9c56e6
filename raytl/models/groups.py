"""Learning rates by stage, and the parameter groups of the optimizer, from the head down."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from raytl.config.schema import OptimConfig, TransferConfig
from raytl.models.backbone import Backbone

_EMBEDDINGS = ("class_token", "pos_embedding", "relative_position_bias_table")
"""Parameters that torchvision's own recipes exclude from weight decay (references/classification)."""


def rates(backbone: Backbone, transfer: TransferConfig, lr: float, depth: int) -> dict[str, float]:
    """Return the learning rate of the `head` and of each of the top `depth` stages by name, from the top down.

    The head has `lr`, the top stage `lr / head_lr_ratio`, and each stage below `lr_decay` times that of the one above.
    """
    top = lr / transfer.head_lr_ratio
    opened = backbone.stages[::-1][:depth]
    return {"head": lr} | {stage.name: top * transfer.lr_decay**i for i, stage in enumerate(opened)}


def parameter_groups(
    backbone: Backbone, transfer: TransferConfig, optim: OptimConfig, depth: int
) -> list[dict[str, Any]]:
    """Return optimizer groups from the head down, each with params, names, group (the stage), lr and weight_decay.

    Norms, biases, other vectors and the parameters that the model excludes get their own groups, without weight decay.
    """
    parameters = dict(backbone.module.named_parameters())
    undecayed = _undecayed(backbone)
    members = {"head": backbone.head} | {stage.name: stage.parameters for stage in backbone.stages}
    groups = []
    for group, lr in rates(backbone, transfer, optim.lr, depth).items():
        names = [name for name in members[group] if name in parameters]
        for decay in (optim.weight_decay, 0.0):
            chosen = [n for n in names if (n in undecayed) == (decay == 0.0)] if optim.weight_decay else names
            if chosen:
                tensors = [parameters[n] for n in chosen]
                groups.append({"params": tensors, "names": chosen, "group": group, "lr": lr, "weight_decay": decay})
            if not optim.weight_decay:
                break
    return groups


def excluded_from_decay(backbone: Backbone) -> frozenset[str]:
    """Return the names of the parameters that the model itself excludes from weight decay."""
    module: Any = backbone.module
    return frozenset(module.no_weight_decay()) if hasattr(module, "no_weight_decay") else backbone.undecayed


def _undecayed(backbone: Backbone) -> set[str]:
    """Return the names of parameters that need no weight decay."""
    named = backbone.module.named_parameters()
    plain = {n for n, p in named if _is_vector(p) or n.rpartition(".")[2] in _EMBEDDINGS}
    return plain | excluded_from_decay(backbone)


def _is_vector(parameter: Tensor) -> bool:
    return parameter.ndim <= 1
