"""An image keeps its split, whatever its name, and its copies never cross into another split."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raytl.data.manifest import Sample
from raytl.data.targets import Box, Boxes
from raytl.errors import DataError
from raytl.retraining.splits import Memory, assign_splits, leaked

NONE = Memory({}, {})
FAR = [
    0x0F0F0F0F0F0F0F0F,
    0x3333CCCC3333CCCC,
    0x00FF00FF00FF00FF,
    0x5A5A5A5AA5A5A5A5,
    0x7FFFF0000FFFF000,
    0x1248124812481248,
]


def sample(name: str, split: str = "train", label: str = "a") -> Sample:
    return Sample(f"{label}/{name}.jpg", f"/x/{name}", label, split, name)


FIRST = [sample("one"), sample("two", label="b"), sample("three", "test"), sample("four", "val", "b")]
HASHES = {each.digest: FAR[place] for place, each in enumerate(FIRST)}


@pytest.fixture
def memory() -> Memory:
    return assign_splits(FIRST, HASHES, NONE).memory


def test_the_first_images_keep_the_splits_they_came_with(memory: Memory) -> None:
    found = assign_splits(FIRST, HASHES, NONE)
    assert found.samples == tuple(FIRST)
    assert (found.left_out, memory.splits["three"]) == ({}, "test")
    assert Memory.decoded(memory.encoded(), "memory.jsonl") == memory


def test_an_image_that_is_moved_or_renamed_keeps_its_split(memory: Memory) -> None:
    moved = [
        replace(each, key=f"elsewhere/{each.digest}", split="train" if each.split == "test" else "test")
        for each in FIRST
    ]
    assert [each.split for each in assign_splits(moved, {}, memory).samples] == [each.split for each in FIRST]


def test_a_copy_of_an_evaluation_image_is_not_trained_on(memory: Memory) -> None:
    found = assign_splits([*FIRST, sample("copy")], {"copy": HASHES["three"] ^ 1}, memory)
    assert found.left_out == {"looks like a test image": ("a/copy.jpg",)}
    assert "copy" not in found.memory.splits


def test_a_copy_of_a_training_image_is_not_evaluated_on(memory: Memory) -> None:
    found = assign_splits([*FIRST, sample("copy", "test")], {"copy": HASHES["one"] ^ 3}, memory)
    assert found.left_out == {"test image that looks like a training image": ("a/copy.jpg",)}


def test_of_two_new_copies_the_evaluation_image_stays(memory: Memory) -> None:
    new = [sample("x"), sample("y", "test")]
    found = assign_splits([*FIRST, *new], {"x": FAR[4], "y": FAR[4] ^ 1}, memory)
    assert [each.digest for each in found.of("test")] == ["three", "y"]
    assert found.left_out == {"looks like a test image": ("a/x.jpg",)}


def test_copies_within_one_split_stay(memory: Memory) -> None:
    assert assign_splits([*FIRST, sample("copy")], {"copy": HASHES["one"]}, memory).left_out == {}


def test_a_copy_of_an_evaluation_image_that_was_removed_is_not_trained_on(memory: Memory) -> None:
    rest = [each for each in FIRST if each.digest != "three"]
    assert assign_splits([*rest, sample("copy")], {"copy": HASHES["three"]}, memory).left_out


def test_a_class_that_is_only_held_out_is_left_out(memory: Memory) -> None:
    found = assign_splits([*FIRST, sample("z", "test", "rare")], {"z": FAR[5]}, memory)
    assert found.left_out == {"class without training images": ("rare/z.jpg",)}


def test_evaluation_images_that_leaked_into_training_are_found() -> None:
    evaluated = [sample("three", "test"), sample("five", "test")]
    hashes = {**HASHES, "five": FAR[4]}
    assert leaked(["one", "two"], evaluated, hashes) == ()
    assert leaked(["one", "three"], evaluated, hashes) == ("a/three.jpg",)
    assert leaked(["copy"], evaluated, {**hashes, "copy": FAR[4] ^ 1}) == ("a/five.jpg",)


def test_an_image_with_an_object_of_a_class_without_training_images_is_left_out() -> None:
    car, bus = Box("car", 0, 0, 9, 9), Box("bus", 1, 1, 5, 5)
    empty, known, unknown = (Boxes(10, 10, boxes) for boxes in ((), (car,), (car, bus)))
    samples = [
        Sample("1", "", known, "train", "1"), Sample("2", "", unknown, "val", "2"), Sample("3", "", empty, "test", "3"),
    ]  # fmt: skip
    found = assign_splits(samples, {}, NONE)
    assert [each.key for each in found.samples] == ["1", "3"]
    assert found.left_out == {"class without training images": ("2",)}


def _of(group: str, each: Sample) -> Sample:
    return replace(each, columns=(("site", group),))


def test_a_new_image_gets_the_split_of_its_group(memory: Memory) -> None:
    known = [_of(group, each) for group, each in zip("abcd", FIRST, strict=True)]
    new = [_of("c", sample("five")), _of("d", sample("six")), _of("e", sample("seven"))]
    found = assign_splits([*known, *new], {"five": FAR[4], "six": FAR[5]}, memory, ["site"])
    assert {each.digest: each.split for each in found.samples[4:]} == {"five": "test", "six": "val", "seven": "train"}
    assert found.left_out == {}


def test_an_image_in_another_split_than_its_group_is_left_out(memory: Memory) -> None:
    known = [_of("b" if each.digest in ("three", "four") else "a", each) for each in FIRST]
    found = assign_splits(known, {}, memory, ["site"])
    assert found.left_out == {"its group is in another split": ("b/four.jpg",)}
    assert found.memory == memory, "the split of an image never changes"


def test_a_column_of_groups_that_all_have_test_images_is_an_error(memory: Memory) -> None:
    with pytest.raises(
        DataError, match="every group of site has images in the test split.* start a registry of its own"
    ):
        assign_splits([_of("a", each) for each in FIRST], {}, memory, ["site"])
