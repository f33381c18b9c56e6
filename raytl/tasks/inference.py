"""Run a task's network over a split, and keep what its scores need of each sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from raytl.data.image_properties import PIXEL_PROPERTIES, THUMBNAIL_PX, of_batch
from raytl.data.transforms import Preprocess
from raytl.models.forward import BatchLike, is_channels_last, to_input
from raytl.models.parallel import computed
from raytl.tasks.findings import finding_kind
from raytl.tasks.objects import Limits
from raytl.tasks.task import Encoder, Rows, Task

WATCHED = 3
"""The number of rows that `split_rows` adds with features."""
_NOTHING: Rows = (
    np.zeros((0, 0), np.float16),
    np.zeros((0, THUMBNAIL_PX, THUMBNAIL_PX, 3), np.uint8),
    np.zeros((0, PIXEL_PROPERTIES), np.float32),
)
Details = Literal["none", "brief", "whole"]
"""Which rows of `FindingKind.detailed` are wanted."""
Size = tuple[int, int]
"""Width and height of an upright original image."""
BatchFeatures = Callable[[int], NDArray[np.float16]]
"""Return the features `(b, d)` of the batch of b images that this thread answered last."""
BesideAnswers = Callable[[BatchLike], NDArray[Any]]
"""Return a row for each image of the batch that this thread answered last."""


class Network:
    """A module on its device with its preprocessing and precision: uint8 images in, the task's answers out.

    `limits` are those of objects; None = those with which the task is scored.
    """

    def __init__(
        self,
        task: Task,
        module: nn.Module,
        preprocess: Preprocess,
        device: torch.device,
        precision: torch.dtype,
        limits: Limits | None = None,
    ) -> None:
        self.task, self.module, self.preprocess = task, module, preprocess
        self.device, self.precision = device, precision
        self._limits = limits or task.limits or Limits()
        self._channels_last = is_channels_last(module)

    @torch.inference_mode()
    def answers(self, images: torch.Tensor, sizes: Sequence[Size]) -> list[Any]:
        """Return the answer for each of `images (b, 3, h, w) uint8`; the module is in evaluation mode."""
        inputs = to_input(images, self.preprocess, self.device, self._channels_last)
        with self._autocast():
            return self.task.predict(self.module, inputs, sizes, self.preprocess, self._limits)

    @torch.inference_mode()
    def detailed(
        self, images: torch.Tensor, sizes: Sequence[Size], truths: Sequence[Any], details: Details
    ) -> tuple[list[Any], Rows]:
        """Return the answers, and the rows of `FindingKind.detailed`; none for a task without."""
        kind = finding_kind(self.task)
        if details == "none" or kind is None or kind.detailed is None:
            return self.answers(images, sizes), ()
        inputs = to_input(images, self.preprocess, self.device, self._channels_last)
        with self._autocast():
            return kind.detailed(self.module, inputs, sizes, self.preprocess, truths, details == "brief")

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision != torch.float32)


def split_rows(
    network: Network,
    batches: Iterable[BatchLike],
    encoder: Encoder,
    features: BatchFeatures | None = None,
    details: Details = "none",
    beside: BesideAnswers | None = None,
) -> tuple[NDArray[np.int64], Rows]:
    """Return the ids `(n,)` of the samples in `batches`, ascending, and the rows that the scores need of them.

    With `features`, three more rows have those of each sample, `(n, d)`, from the same forward pass, its thumbnail and the
    properties of its pixels (see `raytl.data.image_properties`). Rows of `details`
    come before those. With `beside`, the last row has what it returns of each batch. Without batches, the ids and all rows are
    empty.
    """

    def rows(batch: BatchLike) -> Rows:
        ids: list[int] = batch.ids.tolist()
        sizes, truths = [encoder.size(i) for i in ids], [encoder.truth(i) for i in ids]
        answers, more = network.detailed(batch.images, sizes, truths, details)
        scored = (*network.task.evidence(answers, truths), *more)
        scored = scored if features is None else (*scored, features(len(ids)), *of_batch(batch.images))
        return scored if beside is None else (*scored, beside(batch))

    parts = computed(network.module, batches, rows, network.device)
    if not parts:
        empty = network.task.evidence([], [])
        empty = empty if features is None else (*empty, *_NOTHING)
        return np.zeros(0, np.int64), empty if beside is None else (*empty, np.zeros((0, 0), np.int64))
    ids = np.concatenate([part.numpy() for part, _ in parts])
    merged = tuple(np.concatenate(columns) for columns in zip(*(rows for _, rows in parts), strict=True))
    order = np.argsort(ids, kind="stable")
    return ids[order], tuple(column[order] for column in merged)


@torch.no_grad()
def set_buffers(module: nn.Module, values: Mapping[str, NDArray[Any]]) -> None:
    """Set the buffers of `module` whose last part of the name is in `values` (see `Validation.buffers`)."""
    for name, buffer in module.named_buffers():
        value = values.get(name.rpartition(".")[2])
        if value is not None:
            buffer.copy_(torch.from_numpy(value))


class Truths(Sequence[Any]):
    """The targets of a split as `evidence` needs them, made when they are read."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def __len__(self) -> int:
        return len(self._encoder)

    @overload
    def __getitem__(self, place: int) -> Any: ...

    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self._encoder.truth(i) for i in range(*place.indices(len(self)))]
        return self._encoder.truth(range(len(self))[place])
