"""The images and the network that label methods work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from raytl.config.schema import Experiment
from raytl.data.sample import Sample
from raytl.events import OnEvent
from raytl.models.backbone import Backbone
from raytl.tasks.cached_features import cached_features
from raytl.tasks.task import Task


@dataclass(frozen=True, eq=False)
class LabelInputs:
    """What label methods work on: the labelled training and validation images, and the pretrained network.

    No method sees the test split.
    """

    experiment: Experiment
    task: Task
    backbone: Backbone
    train: Sequence[Sample]
    val: Sequence[Sample]
    classes: tuple[str, ...]
    on_event: OnEvent

    def features(self, samples: Sequence[Sample]) -> Tensor:
        """Return the frozen features of `samples`, `(n, d) float32`, from the node's cache if they are there."""
        solver = self.task.head_solver
        assert solver is not None, "checked by `Task.check`"
        return cached_features(self.experiment, solver, self.backbone, samples, self.on_event)

    def targets(self, samples: Sequence[Sample]) -> NDArray[np.int64]:
        """Return the class index of each of `samples`, `(n,)`."""
        solver = self.task.head_solver
        assert solver is not None and solver.targets_of is not None, "checked by `Task.check`"
        return solver.targets_of(samples, self.classes)
