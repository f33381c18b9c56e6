"""The head of a network that goes on from another one's: rows of the classes that both know are kept, by name."""

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
    """Put the head of the saved model at `source` into the network, whose outputs are `classes`; those that it did not know.

    Their rows start at zero, with the mean of the known biases: as likely as the others where nothing speaks for any.

    Raises:
        ModelError: there is no saved model with classes at `source`, or its head is another one.
    """
    read = weights.read(source, s3)
    if not read.classes:
        raise ModelError(
            f"model.weights: {source} does not say its classes, and transfer.head_start is weights; expected a raytl run or "
            "a version of a model: set transfer.head_start to zero or solved"
        )
    layer = head_layer(backbone)
    path = next(name for name, part in backbone.module.named_modules() if part is layer)
    missing = [name for name in backbone.head if name not in read.state]
    if missing or read.state[f"{path}.weight"].shape[1:] != layer.weight.shape[1:]:
        raise ModelError(
            f"model.weights: {source} has another head than {backbone.name}; set transfer.head_start to zero"
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


def _rows(known: Tensor, before: Sequence[str], after: Sequence[str], zero: bool) -> Tensor:
    """`known (before, ...)` in the order of `after`."""
    rows: Mapping[str, Tensor] = dict(zip(before, known, strict=True))
    new = torch.zeros_like(known[0]) if zero else known.mean(0)
    return torch.stack([rows.get(name, new) for name in after])
