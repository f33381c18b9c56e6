"""A column of the manifest as classes, and columns in which there is nothing to learn."""

from __future__ import annotations

import pytest

from raytl.data.column_values import NO_VALUE, ColumnValues
from raytl.data.sample import Sample
from raytl.errors import DataError


def samples(cells: str, labels: str) -> list[Sample]:
    """A sample for each character: its cell (`-` is empty) and its label."""
    return [
        Sample(f"{i}.jpg", f"{i}.jpg", label, columns=(("site", "x"), ("camera", cell.replace("-", ""))))
        for i, (cell, label) in enumerate(zip(cells, labels, strict=True))
    ]


def test_values_are_those_of_training_and_an_empty_cell_is_none() -> None:
    column = ColumnValues.of("camera", samples("b-aab", "ccddd"))
    assert column.values == ("a", "b")
    assert column.classes(samples("ab-z", "cccd")).tolist() == [0, 1, NO_VALUE, NO_VALUE]
    assert column.classes([Sample("added.jpg", "added.jpg", "c")]).tolist() == [NO_VALUE], (
        "a label method adds no cells"
    )
    assert ColumnValues.of("camera", [Sample("a.jpg", "a.jpg", "c")]).values == ()


def test_the_plan_says_what_training_images_have() -> None:
    train = samples("aab-b", "cdccd")
    assert ColumnValues.of("camera", train).check(train) == (
        "auxiliary.columns: camera: 2 values in 4 of 5 training images; always 'a' is right for 50 %"
    )


@pytest.mark.parametrize(
    ("cells", "labels", "match"),
    [
        ("aaa-", "cdcd", "camera: the only value of training images is 'a'; expected two values or more. Remove it"),
        ("----", "cdcd", "camera: no training image has a value"),
        ("abcd", "cdcd", "camera: no value is that of two training images"),
        ("aabb", "ccdd", "camera: its values are the labels by other names, so there is nothing to learn"),
        ("a-bb", "ccdd", "camera: its values are the labels by other names"),
    ],
)
def test_a_column_without_anything_to_learn_is_an_error(cells: str, labels: str, match: str) -> None:
    train = samples(cells, labels)
    with pytest.raises(DataError, match=match):
        ColumnValues.of("camera", train).check(train)


def test_a_coarser_column_than_the_labels_can_be_learned() -> None:
    train = samples("aabbb", "ccdee")
    assert "2 values" in ColumnValues.of("camera", train).check(train)
