"""Targets in words and counts."""

from __future__ import annotations

import pytest

from raytl.data.target_text import class_counts, describe, difference
from raytl.data.targets import Box, Boxes, Instance, Instances, Labels, Mask, MaskClass, Target

CAR, BUS, CROWD = Box("car", 0, 0, 9, 9), Box("bus", 1, 1, 5, 5), Box("car", 0, 0, 3, 3, crowd=True)
BOXES = Boxes(10, 10, (CAR, BUS, CAR, CROWD))
MASK = Mask("m.png", "/m.png", (MaskClass(0, "sky"), MaskClass(1, "road"), MaskClass(255, "")))


@pytest.mark.parametrize(
    ("target", "counts", "text"),
    [
        ("glass", {"glass": 1}, "glass"),
        (None, {}, "no label"),
        (Labels(("a", "b"), ("c",)), {"a": 1, "b": 1}, "a, b"),
        (Labels(()), {}, "none of the classes"),
        (MASK, {"sky": 1, "road": 1}, "a mask"),
        (BOXES, {"car": 2, "bus": 1}, "1 bus, 2 car"),
        (Boxes(10, 10, ()), {}, "no objects"),
        (Instances(4, 4, (Instance("cell", "04"),)), {"cell": 1}, "1 cell"),
    ],
)
def test_a_target_is_counted_and_named(target: Target, counts: dict[str, int], text: str) -> None:
    assert (class_counts(target), describe(target)) == (counts, text)


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ("a", "b", ("a -> b",)),
        (BOXES, Boxes(10, 10, (CAR, BUS, BUS)), ("more bus", "fewer car")),
        (Boxes(10, 10, (CAR,)), Boxes(10, 10, (Box("car", 0, 0, 8, 9),)), ("moved or redrawn",)),
        (None, "a", ("no label -> a",)),
        (Labels(("a",)), Labels(("a", "b")), ("more b",)),
    ],
)
def test_a_change_is_said_in_words(before: Target, now: Target, words: tuple[str, ...]) -> None:
    assert difference(before, now) == words
