"""The facts from which `recipe: auto` chooses the keys that the user did not set. See `Task.recipe`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from raytl.config.choice import Choice
from raytl.models.backbone import Backbone, batch_norms
from raytl.models.frozen import FrozenFit


@dataclass(frozen=True)
class RecipeFacts:
    """The facts that are known before training.

    `counts` are the training images (or objects) by class. `stages`, `parameters`, `convolutional` and `batchnorm` describe
    the backbone; `pretrained` is False for random weights. A batch is divided among `workers`, the largest number of them,
    and `accumulate` micro-batches. `frozen` is None if the images are not on this node or the head has no closed form.
    `given` are the values that the user set, by dotted key: choices adapt to them.
    """

    train: int
    val: int
    counts: Mapping[str, int]
    stages: int
    parameters: int
    convolutional: bool
    batchnorm: bool
    workers: int = 1
    accumulate: int = 1
    pretrained: bool = True
    frozen: FrozenFit | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """The defaults of the task and of the schema, by dotted key."""
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def per_class(self) -> float:
        """Return the mean number of training images of a class."""
        return self.train / max(1, len(self.counts))

    def value(self, key: str) -> Any:
        """Return the value of `key` that the user set, or else its default."""
        return self.given.get(key, self.defaults.get(key))


def backbone_facts(backbone: Backbone, **others: Any) -> RecipeFacts:
    """Return the facts of `backbone` with `others`, by name."""
    return RecipeFacts(
        stages=len(backbone.stages),
        parameters=sum(backbone.sizes.values()),
        convolutional=backbone.convolutional,
        batchnorm=bool(batch_norms(backbone.module)),
        **others,
    )


@dataclass(frozen=True)
class AutoRecipe:
    """The `keys` that `recipe: auto` chooses for a task, and the pure function that chooses them.

    `choose` returns them in the order in which they are printed; a key that the user set is left out later. It chooses
    those that are `measured` only with `RecipeFacts.frozen`.
    """

    keys: frozenset[str]
    choose: Callable[[RecipeFacts], tuple[Choice, ...]]
    measured: tuple[str, ...] = ()


NO_RECIPE = AutoRecipe(frozenset(), lambda facts: ())
"""Chooses nothing: the defaults of the task are its recipe."""


def epochs_for(steps: int, images: int, batch: int) -> int:
    """Return the epochs that take at least `steps` steps of `batch` images."""
    return max(1, math.ceil(steps / max(1, math.ceil(images / batch))))
