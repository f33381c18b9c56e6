"""Errors about headers that lack the columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.data.formats.columns import columns_of, fitness
from raytl.errors import DataError

FILE = Path("t.csv")


def test_columns_are_found_in_any_case_and_a_missing_one_is_behind_the_last_cell() -> None:
    assert columns_of(FILE, ["x", " Label", "PATH "], (), True).places == (2, 1, -1)
    assert columns_of(FILE, ["label", "path", "label"], (), False).places == (1, -1, -1)
    assert columns_of(FILE, ["path"], {"label"}, True).places == (0, -1, -1)


@pytest.mark.parametrize(
    ("header", "advice"),
    [
        ("filename,class", ". Rename 'filename' to 'path' and rename 'class' to 'label'"),
        ("Image_Path,Category", ". Rename 'Image_Path' to 'path' and rename 'Category' to 'label'"),
        ("file,target", ". Rename 'file' to 'path' and rename 'target' to 'label'"),
        ("path,lable", ". Rename 'lable' to 'label'"),
        ("image,label", ". Rename 'image' to 'path'"),
        ("path,label,path", ". Keep only one column 'path'"),
        ("path,label,split,Split", ". Keep only one column 'split'"),
        (
            "a,b",
            "found the columns 'a', 'b'; expected path, label and optionally split, each once. Add a column 'path' and add a column 'label'",
        ),
    ],
)
def test_an_error_names_the_columns_that_were_probably_meant(header: str, advice: str) -> None:
    with pytest.raises(DataError, match=r"^t\.csv: found the columns ") as raised:
        columns_of(FILE, header.split(","), (), True)
    assert str(raised.value).endswith(advice)


def test_a_table_without_a_header_is_told_how_to_write_one() -> None:
    message = (
        "t.csv: the header is missing: the first row is 'cat/0.JPG', 'cat'; expected column names. "
        "Add a first line such as path;label"
    )
    with pytest.raises(DataError, match=r"the header is missing") as raised:
        columns_of(FILE, ["cat/0.JPG", "cat"], (), True, delimiter=";")
    assert str(raised.value) == message
    with pytest.raises(DataError, match="such as path$"):
        columns_of(FILE, ["0.png"], (), False)


def test_a_wide_header_is_not_shown_whole() -> None:
    with pytest.raises(DataError, match=r"'p19' and 80 more; expected one column path. Add a column 'path'$"):
        columns_of(FILE, [f"p{i}" for i in range(100)], (), False)


def test_of_two_headers_the_one_with_a_path_is_fitter_than_one_of_more_columns() -> None:
    assert fitness(["path"]) > fitness(["label", "split"]) > fitness(["filename"]) > fitness(["a", "b", "c"])
