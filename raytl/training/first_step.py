"""Run one training step on blank images before training starts, because some models fail at some image sizes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from raytl.config.schema import Experiment
from raytl.data.manifest import Sample
from raytl.errors import ModelError
from raytl.models.backbone import Backbone, native_px
from raytl.models.forward import to_input
from raytl.models.freeze import apply_freeze
from raytl.tasks.task import Task

_IMAGES = 2
"""BatchNorm needs two values or more for its statistics."""


def check_first_step(
    experiment: Experiment, task: Task, backbone: Backbone, depth: int, classes: Sequence[str], train: Sequence[Sample]
) -> None:
    """Run blank images forward and backward through `backbone` with its top `depth` stages unfrozen, on the CPU.

    The module must be discarded: its BatchNorm statistics are then of blank images. The state of torch's random number
    generator is restored.

    Raises:
        ModelError: the model cannot be trained at `model.preprocess.image_px`; the error quotes the library's reason.
    """
    size = backbone.preprocess.view_size
    images = torch.zeros(_IMAGES, backbone.preprocess.channels, *size, dtype=torch.uint8)
    targets = task.blank_targets(classes, _IMAGES, size)
    objective = task.objective(experiment, classes, train)
    with torch.random.fork_rng(devices=[]):
        apply_freeze(backbone, depth)
        backbone.module.train()
        try:
            inputs = to_input(images, backbone.preprocess, torch.device("cpu"), channels_last=False)
            objective(backbone.module, inputs, targets, torch.arange(_IMAGES)).backward()
        except Exception as exc:  # layers raise RuntimeError, AssertionError, IndexError, ...
            raise _refused(backbone.name, backbone.preprocess.image_px, native_px(experiment.model), exc) from exc


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
