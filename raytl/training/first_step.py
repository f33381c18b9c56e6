"""Run one training step on blank images before training starts, because some models fail at some image sizes."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from raytl.config.schema import Experiment
from raytl.errors import ModelError
from raytl.models.backbone import Backbone, native_px
from raytl.models.forward import to_input
from raytl.models.freeze import apply_freeze
from raytl.tasks.classification.loss import loss

_IMAGES = 2
"""BatchNorm needs two values or more for its statistics."""


def check_first_step(experiment: Experiment, backbone: Backbone, depth: int, counts: Mapping[str, int]) -> None:
    """Run blank images forward and backward through `backbone` with its top `depth` stages unfrozen, on the CPU.

    The module must be discarded: its BatchNorm statistics are then of blank images. The state of torch's random number
    generator is restored.

    Raises:
        ModelError: the model cannot be trained at `model.preprocess.image_px`; the error quotes the library's reason.
    """
    px = backbone.preprocess.image_px
    images = torch.zeros(_IMAGES, 3, px, px, dtype=torch.uint8)
    targets = torch.arange(_IMAGES) % len(counts)
    with torch.random.fork_rng(devices=[]):
        apply_freeze(backbone, depth)
        backbone.module.train()
        try:
            logits = backbone.module(to_input(images, backbone.preprocess, torch.device("cpu"), channels_last=False))
            _check_shape(logits, len(counts))
            loss(experiment.train, counts)(logits, targets).sum().backward()
        except Exception as exc:  # layers raise RuntimeError, AssertionError, IndexError, ...
            raise _refused(backbone.name, px, native_px(experiment.model), exc) from exc


def _check_shape(logits: object, classes: int) -> None:
    shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if shape != (_IMAGES, classes):
        raise ValueError(f"its output is {shape}, expected ({_IMAGES}, {classes})")


def _refused(name: str, px: int, native: int, exc: Exception) -> ModelError:
    lines = str(exc).strip().splitlines()
    reason = lines[0][:200].rstrip(".") if lines else type(exc).__name__
    if px == native:
        return ModelError(
            f"model.name: {name} cannot be trained on images of its native {px} px ({reason}). Choose another model"
        )
    return ModelError(
        f"model.preprocess.image_px: {name} cannot be trained on images of {px} px ({reason}); its native size is {native} px. "
        f"Set model.preprocess.image_px to {native}, or to another size that the model accepts"
    )
