"""Trials on smaller images (`search.image_scale`): a sweep spends less on each, and repeats its finalists at the full size.

Scores at the two sizes are never compared: trials are ranked among themselves, and finalists by their repetitions.
"""

from __future__ import annotations

from torch import nn

from raytl.config.override import override
from raytl.config.schema import Experiment, ModelConfig
from raytl.config.space import Space
from raytl.data.transforms import Preprocess
from raytl.errors import ConfigError
from raytl.search.inputs import SweepInputs
from raytl.store.s3_settings import S3Settings
from raytl.tasks.registry import task_named
from raytl.training.first_step import check_first_step
from raytl.training.plan import depth_of

_KEY, _SIZE = "search.image_scale", "model.preprocess.image_px"
_STRIDE = 32
"""Pixels of an image for one of the last features of most convolutional networks."""


def is_reduced(experiment: Experiment) -> bool:
    """Return True if trials have smaller images than the experiment."""
    return experiment.search.image_scale < 1


def on_smaller_images(inputs: SweepInputs) -> SweepInputs:
    """Return the inputs with the experiment of the trials: that of the sweep at the size of `search.image_scale`.

    Raises:
        ConfigError: no smaller size is possible, or another key contradicts the scale.
        ModelError: the network cannot be trained at that size.
    """
    experiment = inputs.experiment
    if not is_reduced(experiment):
        return inputs
    _check_keys(experiment, inputs.space)
    task, splits, full = task_named(experiment.task), inputs.plan.dataset.splits, inputs.plan.preprocess
    s3 = S3Settings.of(experiment.storage)
    backbone = task.build(_random(experiment.model, full.frame or full.image_px), splits.classes, s3)
    size = reduced_size(full, experiment.search.image_scale, _step(backbone.module))
    small, depth = override(experiment, {_SIZE: size}), depth_of(experiment, backbone)
    backbone = task.build(_random(experiment.model, size), splits.classes, s3)
    check_first_step(small, task, backbone, depth, splits.classes, splits.train)
    return inputs.of_trials(small)


def _random(model: ModelConfig, size: int | tuple[int, int]) -> ModelConfig:
    """Return the model with random weights, whose preprocessing may be another than that of its weights, at `size`."""
    preprocess = model.preprocess.model_copy(update={"image_px": size})
    return model.model_copy(update={"weights": "none", "preprocess": preprocess})


def reduced_size(preprocess: Preprocess, scale: float, step: int) -> int | tuple[int, int]:
    """Return the side of the images, or the frame, at `scale`: the nearest multiple of `step`, and at least one step.

    Raises:
        ConfigError: it is no smaller.
    """
    full = _frame(preprocess)
    width, height = (max(step, round(side * scale / step) * step) for side in full)
    if (width, height) == full or width > full[0] or height > full[1]:
        raise ConfigError(
            f"{_KEY}: {scale:g} of {full[0]} x {full[1]} pixels is {width} x {height} in steps of {step}; expected a smaller "
            "image. Use a smaller scale, or 1."
        )
    return (width, height) if preprocess.frame is not None else width


def measured_at(inputs: SweepInputs) -> str:
    """Return the sizes at which the scores of trials and finalists are measured, in words; empty if they are the same."""
    if inputs.trials is None:
        return ""
    return f"trials at {_text(_trial_frame(inputs))}; finalists and refit at {_text(_frame(inputs.plan.preprocess))}"


def area_ratio(inputs: SweepInputs) -> float:
    """Return how many times as many pixels as an image of a trial one of a finalist has."""
    if inputs.trials is None:
        return 1.0
    (width, height), (full_width, full_height) = _trial_frame(inputs), _frame(inputs.plan.preprocess)
    return full_width * full_height / (width * height)


def _trial_frame(inputs: SweepInputs) -> tuple[int, int]:
    assert inputs.trials is not None
    size = inputs.trials.model.preprocess.image_px
    assert size is not None
    return (size, size) if isinstance(size, int) else size


def _frame(preprocess: Preprocess) -> tuple[int, int]:
    return preprocess.frame or (preprocess.image_px, preprocess.image_px)


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]} px" if size[0] == size[1] else f"{size[0]} x {size[1]} px"


def _check_keys(experiment: Experiment, space: Space) -> None:
    if any(dimension.key == _SIZE for dimension in space.dimensions):
        raise ConfigError(f"{_KEY}: the space varies {_SIZE}; expected one of the two. Set {_KEY} to 1.")
    if experiment.search.folds:
        raise ConfigError(f"{_KEY}: trials of cross-validation have the full size. Set search.folds to null.")
    if experiment.search.soup != "off":
        raise ConfigError(f"{_KEY}: a soup of trials would be a model of smaller images. Set search.soup to off.")
    if experiment.search.replicates.top < 1:
        raise ConfigError(f"{_KEY}: finalists are repeated at the full size. Set search.replicates.top to 1 or more.")


def _step(module: nn.Module) -> int:
    """Return the pixels in which sizes are counted: the patches of a transformer, else the stride of a network."""
    patch = getattr(getattr(module, "patch_embed", None), "patch_size", None)
    side = int(patch[0]) if isinstance(patch, tuple | list) else 0
    return side if side >= 8 else _STRIDE
