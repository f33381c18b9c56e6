"""Images added, removed and changed, by their content."""

from __future__ import annotations

import json
from dataclasses import replace

from raytl.data.manifest import Sample
from raytl.data.targets import Box, Boxes
from raytl.retraining.changes import Changes, added_samples, changes_between
from raytl.stored import Format

BEFORE = [
    Sample(f"{label}/{n}", "", label, "train" if n else "test", f"{label}{n}") for label in "ab" for n in range(3)
]


def test_the_same_images_under_other_names_are_no_change() -> None:
    renamed = [replace(each, key=f"x/{each.key}") for each in BEFORE]
    assert not changes_between("s", 1, BEFORE, renamed, ("a", "b")).any


def test_what_differs_is_counted_by_class() -> None:
    now = [replace(BEFORE[0], target="b"), *BEFORE[2:], Sample("c/1", "", "c", "train", "c1")]
    found = changes_between("s", 1, BEFORE, now, ("a", "b"), unreadable=2, left_out={"why": ("x",)})
    assert (found.added, found.removed, found.relabelled) == ({"c": 1}, {"a": 1}, {"a -> b": 1})
    assert (found.new_classes, found.removed_classes, found.new_samples) == ({"c": 1}, (), 2)
    assert found.balance == {"a": (0.5, 1 / 6), "b": (0.5, 4 / 6), "c": (0.0, 1 / 6)}
    assert (found.unreadable, found.left_out) == (2, {"why": 1})
    assert [each.digest for each in added_samples(BEFORE, now)] == ["c1"]
    assert Format[Changes](Changes, "", "").read(json.dumps(found.to_json()).encode(), "") == found


def test_a_class_without_training_images_is_removed() -> None:
    now = [each for each in BEFORE if each.label == "b" or each.split == "test"]
    assert changes_between("s", 1, BEFORE, now, ("a", "b")).removed_classes == ("a",)
    assert changes_between("s", None, (), now, ()).new_classes == {}


def test_objects_are_counted_by_class_and_images_by_themselves() -> None:
    car, bus = Box("car", 0, 0, 9, 9), Box("bus", 1, 1, 5, 5)
    one, two = Boxes(10, 10, (car, car, bus)), Boxes(10, 10, (car,))
    before = [Sample("1", "", one, "train", "1"), Sample("2", "", two, "train", "2"), Sample("3", "", two, "val", "3")]
    now = [replace(before[0], target=Boxes(10, 10, (car, bus))), before[1], Sample("4", "", one, "train", "4")]
    found = changes_between("s", 1, before, now, ("car",))
    assert (found.added, found.removed, found.relabelled) == ({"bus": 1, "car": 2}, {"car": 1}, {"fewer car": 1})
    assert (found.images_added, found.images_removed, found.images_relabelled) == (1, 1, 1)
    assert (found.new_samples, found.removed_count, found.new_classes) == (2, 1, {"bus": 2})
    assert found.balance["bus"] == (1 / 5, 2 / 6)
    assert Format[Changes](Changes, "", "").read(json.dumps(found.to_json()).encode(), "") == found


def test_an_empty_image_is_a_new_image() -> None:
    empty = Sample("1", "", Boxes(10, 10, ()), "train", "1")
    assert changes_between("s", 1, [], [empty], ()).new_samples == 1
