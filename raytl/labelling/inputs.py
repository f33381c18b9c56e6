"""What label methods work on, as a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from raytl.config.schema import Experiment
from raytl.data.sample import Sample
from raytl.events import OnEvent
from raytl.labelling.unlabelled import UnlabelledImages
from raytl.models.backbone import Backbone
from raytl.tasks.cached_features import cached_features
from raytl.tasks.task import Task


@dataclass(frozen=True, eq=False)
class LabelInputs:
    """What label methods work on: the labelled training and validation images, the pretrained network, and the images of
    the `target` domain, None without one.

    No method sees the test split.
    """

    experiment: Experiment
    task: Task
    backbone: Backbone
    train: Sequence[Sample]
    val: Sequence[Sample]
    classes: tuple[str, ...]
    on_event: OnEvent
    target: UnlabelledImages | None = None

    def features(self, samples: Sequence[Sample]) -> Tensor:
        """Return the frozen features of `samples`, `(n, d) float32`, from the node's cache if they are there."""
        solver = self.task.head_solver
        assert solver is not None, "checked by `Task.check`"
        return cached_features(self.experiment, solver, self.backbone, samples, self.on_event)
