"""Initialize a head from that of a saved model: copy the rows of shared classes, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from raytl.errors import ModelError
from raytl.models import weights
from raytl.models.backbone import Backbone
from raytl.models.probe import head_layer
from raytl.store.s3_settings import ENVIRONMENT, S3Settings


def inherit(backbone: Backbone, source: str, classes: Sequence[str], s3: S3Settings = ENVIRONMENT) -> tuple[str, ...]:
    """Copy the head of the saved model at `source` into a network with outputs `classes`; return the classes new to it.

    The rows of new classes start at zero, with the mean of the saved biases.

    Raises:
        ModelError: there is no saved model with classes at `source`, or its head has another shape.
    """
    read = weights.read(source, s3)
    if not read.classes:
        raise ModelError(
            f"model.weights: {source} does not list its classes, which transfer.head_start: weights needs; expected a raytl run "
            "or a model version. Set transfer.head_start to zero or solved"
        )
    layer = head_layer(backbone)
    path = next(name for name, part in backbone.module.named_modules() if part is layer)
    missing = [name for name in backbone.head if name not in read.state]
    if missing or read.state[f"{path}.weight"].shape[1:] != layer.weight.shape[1:]:
        raise ModelError(
            f"model.weights: the head of {source} differs from that of {backbone.name}. Set transfer.head_start to zero"
        )
    with torch.no_grad():
        for name, parameter in backbone.module.named_parameters():
            if name in backbone.head and not name.startswith(f"{path}."):
                parameter.copy_(read.state[name])
        for part in ("weight", "bias"):
            target = getattr(layer, part)
            if target is not None:
                target.copy_(_rows(read.state[f"{path}.{part}"], read.classes, classes, zero=part == "weight"))
    return tuple(name for name in classes if name not in read.classes)


def _rows(weights: Tensor, before: Sequence[str], after: Sequence[str], zero: bool) -> Tensor:
    """Return the rows of `weights (before, ...)` in the order of `after`."""
    by_class: Mapping[str, Tensor] = dict(zip(before, weights, strict=True))
    new = torch.zeros_like(weights[0]) if zero else weights.mean(0)
    return torch.stack([by_class.get(name, new) for name in after])
