"""The contract of a task whose models can be exported: one graph from pixels to tensors, and the way back to its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from numpy.typing import NDArray
from torch import nn

from raytl.tasks.inference import Size
from raytl.tasks.objects import Limits
from raytl.tasks.saved import Saved
from raytl.tasks.task import Task


class Exporting(Protocol):
    """The part of a task that `raytl export` needs."""

    @property
    def kind(self) -> Literal["classes", "labels", "objects", "map"]:
        """Return the kind of answers that the client of a bundle makes."""
        ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of the graph's results in order."""
        ...

    def graph(self, saved: Saved, limits: Limits) -> nn.Module:
        """Return a module from normalized views `(b, 3, h, w) float32` to a tuple of the outputs, with the temperature inside.

        Raises:
            ModelError: this network cannot be exported, and why.
        """
        ...

    def answers(self, outputs: Sequence[Mapping[str, NDArray[Any]]], sizes: Sequence[Size], saved: Saved) -> list[Any]:
        """Return the task's own answers for the outputs of photos of `sizes`, to score them as those of the saved model."""
        ...

    def label_thresholds(self, saved: Saved) -> tuple[float, ...]:
        """Return the probability from which an image has each label, for `labels`; empty for the other kinds."""
        ...


def exporting_of(task: Task) -> Exporting | None:
    """Return what exports the models of `task`; None if nothing does, as for tasks of other packages that lack it."""
    return getattr(task, "exporting", None)
