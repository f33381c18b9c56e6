"""The interfaces by which the loader makes the view of an image, and its target under the same geometry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from raytl.data.images import Pixels


class Augment(Protocol):
    """The training views of a task. A view is a pure function of the prepared image and a draw."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the views."""
        ...

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Any:
        """Draw the parameters for a prepared image of this size."""
        ...

    def apply(self, prepared: Pixels, draw: Any) -> Pixels:
        """Return the view `(height, width, 3) uint8` of a prepared image."""
        ...


class Encoder(Protocol):
    """The targets of a split, by position, encoded for the network. Used in forked loader processes."""

    def __len__(self) -> int: ...

    def view(self, i: int, augment: Augment, draw: Any, prepared: tuple[int, int]) -> Any:
        """Return the target of sample `i` under the geometry of `draw`, for a prepared image of this (height, width)."""
        ...

    def size(self, i: int) -> tuple[int, int]:
        """Return width and height of the upright original image; (0, 0) if the answers of the task have no coordinates."""
        ...

    def truth(self, i: int) -> Any:
        """Return the target of sample `i` as `evidence` needs it, in the pixels of the original image."""
        ...

    def collate(self, targets: Sequence[Any]) -> Any:
        """Return the targets of a batch. They can be sliced, which a step with micro-batches does."""
        ...
