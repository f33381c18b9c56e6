"""Encode the objects of a split for the tasks that find them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from raytl.data.manifest import Sample
from raytl.data.object_targets import ObjectArrays, ObjectTargets
from raytl.data.transforms import Preprocess
from raytl.tasks.objects import ObjectBatch, Objects


def object_encoder(
    samples: Sequence[Sample], classes: Sequence[str], preprocess: Preprocess, *, with_masks: bool = False
) -> ObjectTargets:
    """Return the objects of `samples`, whose batches are `ObjectBatch`.

    Raises:
        DataError: samples have no objects, or with `with_masks` no masks of them.
    """
    collate = partial(object_batch, size=preprocess.view_size)
    return ObjectTargets(samples, classes, preprocess, collate, with_masks=with_masks)


def object_batch(views: Sequence[ObjectArrays], size: tuple[int, int]) -> ObjectBatch:
    """Return the objects of the views of a batch of this (height, width) as tensors."""
    return ObjectBatch(tuple(map(_tensors, views)), size)


def _tensors(view: ObjectArrays) -> Objects:
    return Objects(
        torch.from_numpy(view.boxes), torch.from_numpy(view.labels), torch.from_numpy(view.crowd), _mask_tensor(view)
    )


def _mask_tensor(view: ObjectArrays) -> Tensor | None:
    return None if view.masks is None else torch.from_numpy(view.masks)
