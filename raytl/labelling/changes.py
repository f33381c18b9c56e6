"""Compute the changes of an experiment's training images, for its own settings and for those of a sweep's trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeAlias

from torch import Tensor

from raytl.config.schema import Experiment
from raytl.data.sample import Sample
from raytl.events import OnEvent
from raytl.labelling.adapt import adapt
from raytl.labelling.change import UNCHANGED, TrainChange
from raytl.labelling.few import label_few
from raytl.labelling.noise import leave_out_noise
from raytl.labelling.settings import KEYS, Settings, searched_settings
from raytl.labelling.unlabelled import UnlabelledImages
from raytl.models.backbone import Backbone
from raytl.tasks.cached_features import cached_features
from raytl.tasks.task import Task

NONE = "none"
"""The value of each key that changes nothing."""


@dataclass(frozen=True, eq=False)
class LabelInputs:
    """The inputs of label methods: the labelled training and validation images, and the pretrained network.

    No method sees the test split.
    """

    experiment: Experiment
    task: Task
    backbone: Backbone
    train: Sequence[Sample]
    val: Sequence[Sample]
    classes: tuple[str, ...]
    on_event: OnEvent
    read_unlabelled: Callable[[], UnlabelledImages]
    read_target: Callable[[], UnlabelledImages]

    @cached_property
    def unlabelled(self) -> UnlabelledImages:
        """Return the images of `data.unlabelled`, read once."""
        return self.read_unlabelled()

    @cached_property
    def target(self) -> UnlabelledImages:
        """Return the images of `adapt.target` that a method may use, read once."""
        return self.read_target()

    def features(self, samples: Sequence[Sample]) -> Tensor:
        """Return the frozen features of `samples`, `(n, d) float32`, from the node's cache if they are there."""
        solver = self.task.head_solver
        assert solver is not None, "checked by `Task.check`"
        return cached_features(self.experiment, solver, self.backbone, samples, self.on_event)


Step: TypeAlias = Callable[[LabelInputs, Any, TrainChange], TrainChange]
"""From the inputs, the value of a key and the change so far to the whole change."""
STEPS: Mapping[str, Step] = MappingProxyType(
    {"labels.noise": leave_out_noise, "few.method": label_few, "adapt.method": adapt}
)
"""The step of each of `KEYS`."""


def label_changes(inputs: LabelInputs) -> dict[Settings, TrainChange]:
    """Return the change for the settings of the experiment and for each setting that a trial may have.

    Settings that change nothing are left out.
    """
    so_far: dict[Settings, TrainChange] = {(): UNCHANGED}
    changes = {settings: _change(inputs, settings, so_far) for settings in searched_settings(inputs.experiment)}
    return {settings: change for settings, change in changes.items() if change is not UNCHANGED}


def _change(inputs: LabelInputs, settings: Settings, so_far: dict[Settings, TrainChange]) -> TrainChange:
    """Return the change for the first values of `KEYS`, from those that `so_far` holds; each step is computed once."""
    if settings not in so_far:
        change, value = _change(inputs, settings[:-1], so_far), settings[-1]
        step = STEPS[KEYS[len(settings) - 1]]
        so_far[settings] = change if value == NONE else step(inputs, value, change)
    return so_far[settings]
