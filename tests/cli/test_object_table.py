"""The table of objects has a column for each split, and sums up many classes."""

from __future__ import annotations

from rich.console import Console

from raytl.cli.object_table import object_table
from raytl.data.object_counts import object_counts
from raytl.data.targets import Box, Boxes


def _text(classes: int) -> str:
    boxes = tuple(Box(f"c{i:03}", 0, 0, 40, 40) for i in range(classes))
    counts = object_counts([Boxes(200, 200, boxes), Boxes(200, 200, ())])
    assert counts is not None
    console = Console(width=100)
    with console.capture() as capture:
        console.print(object_table({"train": counts, "val": counts}))
    return capture.get()


def test_objects_are_shown_by_class_and_size_with_a_column_for_each_split() -> None:
    lines = [" ".join(line.split()) for line in _text(2).splitlines()]
    for line in ("4 objects", "c000 1 1", "medium (below 96 x 96 pixels) 2 2", "images without objects 1 1"):
        assert line in lines


def test_many_classes_are_summed_up() -> None:
    assert "more" in _text(200)
    assert len(_text(200).splitlines()) < 80
