"""An image stays on its side, whatever it is called, and copies of it never come to the other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raytl.data.manifest import Sample
from raytl.retrain.split_file import Memory, leaked, settled

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
    return settled(FIRST, HASHES, NONE).memory


def test_what_is_seen_first_is_taken_as_it_is(memory: Memory) -> None:
    found = settled(FIRST, HASHES, NONE)
    assert found.samples == tuple(FIRST)
    assert (found.left_out, memory.sides["three"]) == ({}, "test")
    assert Memory.decoded(memory.encoded(), "memory.jsonl") == memory


def test_an_image_that_is_moved_or_renamed_stays_on_its_side(memory: Memory) -> None:
    moved = [
        replace(each, key=f"elsewhere/{each.digest}", split="train" if each.split == "test" else "test")
        for each in FIRST
    ]
    assert [each.split for each in settled(moved, {}, memory).samples] == [each.split for each in FIRST]


def test_a_copy_of_an_evaluation_image_is_not_trained_on(memory: Memory) -> None:
    found = settled([*FIRST, sample("copy")], {"copy": HASHES["three"] ^ 1}, memory)
    assert found.left_out == {"looks like an evaluation image": ("a/copy.jpg",)}
    assert "copy" not in found.memory.sides


def test_a_copy_of_a_training_image_is_not_evaluated_on(memory: Memory) -> None:
    found = settled([*FIRST, sample("copy", "test")], {"copy": HASHES["one"] ^ 3}, memory)
    assert found.left_out == {"held out, but looks like an image that was trained on": ("a/copy.jpg",)}


def test_of_two_new_copies_the_evaluation_image_stays(memory: Memory) -> None:
    new = [sample("x"), sample("y", "test")]
    found = settled([*FIRST, *new], {"x": FAR[4], "y": FAR[4] ^ 1}, memory)
    assert [each.digest for each in found.side("test")] == ["three", "y"]
    assert found.left_out == {"looks like an evaluation image": ("a/x.jpg",)}


def test_copies_on_one_side_stay(memory: Memory) -> None:
    assert settled([*FIRST, sample("copy")], {"copy": HASHES["one"]}, memory).left_out == {}


def test_a_copy_of_an_evaluation_image_that_was_removed_is_not_trained_on(memory: Memory) -> None:
    rest = [each for each in FIRST if each.digest != "three"]
    assert settled([*rest, sample("copy")], {"copy": HASHES["three"]}, memory).left_out


def test_a_class_that_is_only_held_out_is_left_out(memory: Memory) -> None:
    found = settled([*FIRST, sample("z", "test", "rare")], {"z": FAR[5]}, memory)
    assert found.left_out == {"held out, and no image of its class is trained on": ("rare/z.jpg",)}


def test_who_was_trained_on_an_evaluation_image_or_its_copy_is_found() -> None:
    evaluated = [sample("three", "test"), sample("five", "test")]
    hashes = {**HASHES, "five": FAR[4]}
    assert leaked(["one", "two"], evaluated, hashes) == ()
    assert leaked(["one", "three"], evaluated, hashes) == ("a/three.jpg",)
    assert leaked(["copy"], evaluated, {**hashes, "copy": FAR[4] ^ 1}) == ("a/five.jpg",)
