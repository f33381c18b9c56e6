"""Declare the parts of a task that the loader needs: the training views and the targets, made from the same draw.

`Augment` and `Encoder` are part of the contract of a task (`raytl.tasks.task`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from raytl.data.draw import sample_rng
from raytl.data.images import Images, Pixels
from raytl.data.placement import Placement
from raytl.data.transforms import Preprocess, prepared_placement
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

_NO_SIZE = (0, 0)


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

    def placement(self, draw: Any, height: int, width: int) -> Placement:
        """Return the map from a prepared image of this size to its view under the draw."""
        ...


class Encoder(Protocol):
    """The targets of a split, by position, encoded for the network. Used in forked loader processes.

    The targets of samples are sent between processes: they are numbers, numpy arrays, or made of them; never tensors.
    """

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


@dataclass(frozen=True, slots=True)
class FileAccess:
    """The limits and settings with which an encoder reads files of targets, such as masks."""

    max_pixels: int
    s3: S3Settings = ENVIRONMENT


@runtime_checkable
class Prefetching(Protocol):
    """An encoder that reads files, and can fetch those of the next samples before they are needed."""

    def prefetch(self, ids: Sequence[int]) -> None:
        """Start to fetch the targets of these samples, in order."""
        ...


def augmented(images: Images, encoder: Encoder, augment: Augment, seed: int, epoch: int, i: int) -> tuple[Pixels, Any]:
    """Return the training view of sample `i` in an epoch, and its target."""
    prepared = images[i]
    height, width = prepared.shape[:2]
    draw = augment.draw(height, width, sample_rng(seed, epoch, i))
    return augment.apply(prepared, draw), encoder.view(i, augment, draw, (height, width))


def augmented_target(encoder: Encoder, augment: Augment, preprocess: Preprocess, seed: int, epoch: int, i: int) -> Any:
    """Return the target of the training view of sample `i` in an epoch, without reading its pixels."""
    size = encoder.size(i)
    if size == _NO_SIZE:
        return encoder.view(i, augment, None, size)
    prepared = prepared_placement(*size, preprocess).size
    return encoder.view(i, augment, augment.draw(*prepared, sample_rng(seed, epoch, i)), prepared)
