"""Objects are counted by class, by image and by COCO's sizes; crowds are apart."""

from __future__ import annotations

from raytl.data.annotations import rle
from raytl.data.object_counts import ObjectCounts, object_counts
from raytl.data.targets import Box, Boxes, Instance, Instances


def test_boxes_are_counted_by_class_image_and_size() -> None:
    images = [
        Boxes(200, 200, (Box("a", 0, 0, 31, 31), Box("b", 0, 0, 32, 32), Box("a", 0, 0, 96, 96))),
        Boxes(200, 200, (Box("b", 0, 0, 10, 10, crowd=True),)),
        Boxes(200, 200, (Box("b", 0, 0, 10, 10),)),
    ]
    sizes = {"small": 2, "medium": 1, "large": 1}
    assert object_counts(images) == ObjectCounts(3, 1, {"a": 2, "b": 2}, 1, sizes, 1.0, 3)


def test_instances_have_the_area_of_their_mask() -> None:
    triangle = rle.from_polygons([[0, 0, 40, 0, 0, 40]], 50, 50)
    counts = object_counts([Instances(50, 50, (Instance("a", triangle),))])
    assert counts is not None
    assert counts.sizes == {"small": 1, "medium": 0, "large": 0}


def test_targets_without_objects_have_no_counts() -> None:
    assert object_counts(["cat", None]) is None
