"""Images added, removed and changed, by their content."""

from __future__ import annotations

import json
from dataclasses import replace

from raytl.data.manifest import Sample
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
