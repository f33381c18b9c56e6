"""Turn annotated objects into the batches that the heads of detection and instance segmentation learn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from raytl.data.encoder import FileAccess
from raytl.data.manifest import Sample
from raytl.data.object_targets import ObjectArrays, ObjectTargets
from raytl.data.targets import Boxes, Instances
from raytl.data.transforms import Preprocess
from raytl.errors import DataError
from raytl.tasks.objects import ObjectBatch, Objects


def collated(views: Sequence[ObjectArrays], size: tuple[int, int]) -> ObjectBatch:
    """Return the objects of views of `size` (height, width) as tensors."""
    return ObjectBatch(tuple(map(_tensors, views)), size)


def _tensors(view: ObjectArrays) -> Objects:
    boxes, labels, crowd = (torch.from_numpy(part) for part in (view.boxes, view.labels, view.crowd))
    return Objects(boxes, labels, crowd, None if view.masks is None else torch.from_numpy(view.masks))


def object_targets(
    samples: Sequence[Sample], classes: Sequence[str], preprocess: Preprocess, files: FileAccess, *, masks: bool = False
) -> ObjectTargets:
    """Return the boxes of `samples` as targets of a loader, with `masks` their masks too."""
    del files
    return ObjectTargets(
        samples, classes, preprocess, lambda views: collated(views, preprocess.view_size), with_masks=masks
    )


def blank_objects(classes: Sequence[str], count: int, size: tuple[int, int], *, masks: bool = False) -> ObjectBatch:
    """Return an object in the middle of each of `count` views of `size`, of the classes in turn."""
    height, width = size
    box = np.array([[width / 4, height / 4, 3 * width / 4, 3 * height / 4]], np.float32)
    mask = np.zeros((1, height, width), np.uint8)
    mask[:, height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 1
    crowd = np.zeros(1, np.bool_)
    views = [
        ObjectArrays(box, np.array([i % len(classes)], np.int64), crowd, mask if masks else None) for i in range(count)
    ]
    return collated(views, size)


def object_classes(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return the classes of the objects, sorted; of crowds alone there is nothing to learn.

    Raises:
        DataError: there is no object.
    """
    names: set[str] = set()
    for sample in samples:
        match sample.target:
            case Boxes(boxes=objects) | Instances(instances=objects):
                names |= {each.label for each in objects if not each.crowd}
    if not names:
        raise DataError(f"the {len(samples)} training images have no objects; expected annotated objects to learn from")
    return tuple(sorted(names))
