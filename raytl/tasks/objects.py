"""Objects as tensors: the truth that detectors learn, and their predictions. Coordinates are pixels of the view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of one view.

    `boxes (n, 4) float32` are x_min, y_min, x_max, y_max, `labels (n,) int64` the classes from 0, and `crowd (n,) bool`
    marks groups, which are not learned. `masks (n, h, w) uint8` is 1 inside an object; None if the task needs no masks.
    """

    boxes: Tensor
    labels: Tensor
    crowd: Tensor
    masks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Tensor) -> Objects:
        """Return the objects at the positions or the mask `index`."""
        return replace(self, **{name: value[index] for name, value in self._tensors().items()})

    def to(self, device: torch.device, non_blocking: bool = False) -> Objects:
        """Return the objects on `device`."""
        moved = {name: value.to(device, non_blocking=non_blocking) for name, value in self._tensors().items()}
        return replace(self, **moved)

    def pin_memory(self) -> Objects:
        """Return the objects in pinned memory."""
        return replace(self, **{name: value.pin_memory() for name, value in self._tensors().items()})

    def record_stream(self, stream: torch.Stream) -> None:
        """Keep the memory of the objects until the work of `stream` so far is done."""
        for value in self._tensors().values():
            value.record_stream(stream)

    def _tensors(self) -> dict[str, Tensor]:
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in values if value is not None}


@dataclass(frozen=True, slots=True)
class ObjectBatch:
    """The objects of the views of a batch; `size` is the (height, width) of the views."""

    views: tuple[Objects, ...]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, part: slice) -> ObjectBatch:
        """Return a part of the batch."""
        return replace(self, views=self.views[part])

    def to(self, device: torch.device, non_blocking: bool = False) -> ObjectBatch:
        """Return the batch on `device`."""
        return replace(self, views=tuple(view.to(device, non_blocking) for view in self.views))

    def pin_memory(self) -> ObjectBatch:
        """Return the batch in pinned memory."""
        return replace(self, views=tuple(view.pin_memory() for view in self.views))

    def record_stream(self, stream: torch.Stream) -> None:
        """Keep the memory of the batch until the work of `stream` so far is done."""
        for view in self.views:
            view.record_stream(stream)


@dataclass(frozen=True, slots=True)
class Predicted:
    """The predicted objects of one view, the most certain first.

    `boxes (n, 4) float32` lie within the view, `labels (n,) int64`, `scores (n,) float32` from 0 to 1, and
    `masks (n, h, w) float32`, the probability of each pixel of the view; None for detection.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    masks: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """The predictions of an image to keep.

    They have scores above `score`; of overlapping boxes of a class (intersection over union above `nms_iou`) the best stays,
    and of those the best `max_detections`. COCO's metrics need a low `score` and 100.
    """

    score: float = 0.05
    nms_iou: float = 0.6
    max_detections: int = 100


def seeds(batch: ObjectBatch, ids: Tensor) -> Sequence[int]:
    """Return a seed for each view, from its id and its boxes alone.

    Boxes move with the augmentation, so an image has another seed in each epoch, and the same one on any number of workers.
    """
    return [_seed(int(i), view.boxes) for i, view in zip(ids.tolist(), batch.views, strict=True)]


def _seed(sample: int, boxes: Tensor) -> int:
    bits = boxes.detach().cpu().contiguous().view(torch.int32).flatten().tolist()
    return hash((sample, *bits)) & (2**63 - 1)
