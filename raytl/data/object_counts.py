"""Count the objects of annotated images: by class, by image and by size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from raytl.data.annotations import rle
from raytl.data.targets import Box, Boxes, Instance, Instances, Target

SMALL_PX, LARGE_PX = 32, 96
"""Widths of squares as large as the largest small and the largest medium object, as in COCO's metrics."""


@dataclass(frozen=True)
class ObjectCounts:
    """The objects of images: how often each class occurs, how many images have none, and objects by size; crowds apart.

    `sizes` has small, medium and large: areas up to 32 x 32, up to 96 x 96, and larger, in pixels of the original image.
    """

    images: int
    empty: int
    classes: Mapping[str, int]
    crowds: int
    sizes: Mapping[str, int]
    median_per_image: float
    max_per_image: int


def object_counts(targets: Iterable[Target]) -> ObjectCounts | None:
    """Return the counts of all boxes and instances; None if no target has any kind of objects."""
    per_image, classes, sizes, crowds = [], Counter[str](), Counter(small=0, medium=0, large=0), 0
    for target in targets:
        if not isinstance(target, Boxes | Instances):
            continue
        objects: tuple[Box | Instance, ...] = target.boxes if isinstance(target, Boxes) else target.instances
        scored = [each for each in objects if not each.crowd]
        per_image.append(len(scored))
        crowds += len(objects) - len(scored)
        classes.update(each.label for each in scored)
        sizes.update(_size(each) for each in scored)
    if not per_image:
        return None
    by_class = dict(sorted(classes.items()))
    empty = per_image.count(0)
    return ObjectCounts(len(per_image), empty, by_class, crowds, dict(sizes), float(median(per_image)), max(per_image))


def _size(each: Box | Instance) -> str:
    if isinstance(each, Box):
        area: float = (each.x_max - each.x_min) * (each.y_max - each.y_min)
    else:
        area = rle.area(each.counts)
    return "small" if area < SMALL_PX**2 else "medium" if area < LARGE_PX**2 else "large"
