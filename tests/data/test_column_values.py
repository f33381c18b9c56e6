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
    column, note = ColumnValues.of("camera", train), "2 values in 4 of 5 training images; always 'a' is right for 50 %"
    assert column.check(train, samples("zb-", "cdc")) == (
        f"auxiliary.columns: camera: {note}; 1 of 3 validation images have one of them"
    )
    assert column.check(train, samples("z-", "cd")).endswith(
        f"{note}; no validation image has one of them, so its accuracy is not reported"
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
        ColumnValues.of("camera", train).check(train, train)


def test_a_column_of_too_many_values_is_an_error() -> None:
    def check(values: int, images: int) -> str:
        rows = (Sample(f"{i}", f"{i}", "ab"[i % 2], columns=(("camera", f"{i % values}"),)) for i in range(images))
        train = [*rows]
        return ColumnValues.of("camera", train).check(train, train)

    assert "20 values" in check(20, 45) and "21 values" in check(21, 105)
    with pytest.raises(
        DataError, match="found 21 values in 104 training images; expected at most 20, .* group its values"
    ):
        check(21, 104)
    with pytest.raises(DataError, match="found 1,001 values in 5,100 training images; expected at most 1,000"):
        check(1001, 5100)


def test_a_column_that_is_nearly_empty_is_an_error() -> None:
    train = samples("aab" + "-" * 297, "cdc" * 100)
    assert "in 3 of 300" in ColumnValues.of("camera", train).check(train, train)
    train = samples("aab" + "-" * 300, "cdc" * 101)
    with pytest.raises(DataError, match="camera: found a value in 3 of 303 training images; expected 1 % or more"):
        ColumnValues.of("camera", train).check(train, train)


def test_a_coarser_column_than_the_labels_can_be_learned() -> None:
    train = samples("aabbb", "ccdee")
    assert "2 values" in ColumnValues.of("camera", train).check(train, train)


def test_hostile_cells_are_text_in_the_note() -> None:
    cell = "\x1b[31m<b>\u202e${HOME}"
    train = [Sample(f"{i}", f"{i}", "ab"[i % 2], columns=(("camera", cell if i < 3 else "b"),)) for i in range(4)]
    note = ColumnValues.of("camera", train).check(train, train)
    assert "always '\\x1b[31m<b>\\u202e${HOME}' is right" in note and note.isprintable()
