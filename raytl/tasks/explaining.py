"""The contract of a task whose answers can be explained by a map over the image: which class, with what score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from raytl.data.targets import Target
from raytl.tasks.registry import task_named, task_names
from raytl.tasks.task import Task


@dataclass(frozen=True, slots=True)
class Statement:
    """A class that an image has, or has not, by an answer: its `place` and `name`, and the model's `confidence` that it has (of class
    maps the part of the image that has it).

    `correct` is None where the truth is not known.
    """

    place: int
    name: str
    confidence: float
    correct: bool | None = None


class Explaining(Protocol):
    """The answers of a task, as their explanation needs them."""

    @property
    def measure(self) -> str:
        """Return what the number of a statement is, behind a percentage: empty for a confidence."""
        ...

    @property
    def has_mistakes(self) -> bool:
        """Return whether an answer is right or wrong as a whole."""
        ...

    def predicted(self, answer: Any, classes: Sequence[str], /) -> tuple[str, ...]:
        """Return the classes that the image has by the answer."""
        ...

    def true(self, target: Target, /) -> tuple[str, ...] | None:
        """Return the classes that the image has by its annotation; None without one."""
        ...

    def statements(
        self, answer: Any, classes: Sequence[str], target: Target, only: str | None, /
    ) -> tuple[Statement, ...]:
        """Return what an answer states about an image, each statement with a map of its own; with `only`, about that class.

        Statements that `target` contradicts come first.
        """
        ...

    def scores(self, outputs: Any, places: Tensor, /) -> Tensor:
        """Return the score of one class for each output of the network, `(n,)`; see `models.attribution.scoring`."""
        ...

    def stored(self, outcomes: Path, /) -> Mapping[str, bool]:
        """Return by key whether each image was correct, from the file of the `outcomes` of an evaluation.

        Raises:
            RunError: they are damaged.
        """
        ...


def class_logits(outputs: Any, places: Tensor) -> Tensor:
    """Return the logit at its place for each row of `outputs (n, classes)`: `(n,)`."""
    logits: Tensor = outputs
    return logits.float()[torch.arange(len(places), device=logits.device), places]


def explaining_of(task: Task) -> Explaining | None:
    """Return what explains the answers of `task`; None if nothing does, as for tasks of other packages that lack it."""
    return getattr(task, "explaining", None)


def explained_tasks() -> tuple[str, ...]:
    """Return the names of the tasks whose answers can be explained."""
    return tuple(name for name in task_names() if explaining_of(task_named(name)) is not None)
