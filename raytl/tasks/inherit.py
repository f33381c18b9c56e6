"""Start the neck and the head of a dense network from those of a saved model."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from raytl.errors import ModelError
from raytl.models import weights
from raytl.models.backbone import Backbone
from raytl.store.s3_settings import ENVIRONMENT, S3Settings


def inherit_dense(
    backbone: Backbone, source: str, classes: Sequence[str], s3: S3Settings = ENVIRONMENT
) -> tuple[str, ...]:
    """Copy the neck and the head of the saved model at `source`; return the classes that are new to it.

    With other classes, the layers whose shape or meaning depends on the classes stay new, so that all classes are.

    Raises:
        ModelError: there is no saved model with classes at `source`, or its neck has another shape.
    """
    read = weights.read(source, s3)
    if not read.classes:
        raise ModelError(
            f"model.weights: {source} does not list its classes, which transfer.head_start: weights needs; expected a raytl run "
            "or a model version. Set transfer.head_start to zero"
        )
    is_same = tuple(read.classes) == tuple(classes)
    own = dict(backbone.module.named_parameters())
    names = [name for name in backbone.head if name in own and (is_same or not _is_by_class(name))]
    wrong = [name for name in names if name not in read.state or read.state[name].shape != own[name].shape]
    if wrong:
        raise ModelError(
            f"model.weights: the neck or head of {source} differs from that of {backbone.name} ({wrong[0]}). "
            "Set transfer.head_start to zero, or model.head and model.neck to those of the saved model"
        )
    with torch.no_grad():
        for name in names:
            own[name].copy_(read.state[name])
    return () if is_same else tuple(classes)


_BY_CLASS = ("cls_logits", "cls_score", "bbox_pred", "mask_fcn_logits", "classify", "classifier", "predict")


def _is_by_class(name: str) -> bool:
    return any(part in _BY_CLASS for part in name.split("."))
