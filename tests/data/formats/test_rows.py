"""Tables as Excel, pandas and Spark write them, read into the same rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raytl.data.formats.rows import _READERS, parts_among, parts_in, read_rows
from raytl.errors import DataError
from raytl.uris import TABLE_SUFFIXES

TWO = [("a.jpg", "cat", ""), ("b.jpg", "dog", "")]


def rows(file: Path, labeled: bool = True) -> list[tuple[str, str, str]]:
    return [row[1:4] for row in read_rows(file, parts_in(file), labeled)]


def written(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / name


@pytest.mark.parametrize(
    "content",
    [
        'path,label,"notes (a;b;c;d)"\na.jpg,cat,\nb.jpg,dog,\n',
        '"notes; one; two; three",path,label\n,a.jpg,cat\n,b.jpg,dog\n',
        "path;label;a,b,c,d\na.jpg;cat;1,5\nb.jpg;dog;2,5\n",
        "path|label\na.jpg|cat\nb.jpg|dog\n",
        "sep=;\r\npath;label\r\na.jpg;cat\r\nb.jpg;dog\r\n",
        "sep=\t\r\npath\tlabel\r\na.jpg\tcat\r\nb.jpg\tdog\r\n",
        'SEP=^\n"path"^"label"\na.jpg^cat\nb.jpg^dog\n',
        '"sep=,"\npath,label\na.jpg,cat\nb.jpg,dog\n',
        "path,label\ra.jpg,cat\rb.jpg,dog\r",
        "sep=;\rpath;label\ra.jpg;cat\rb.jpg;dog",
        "path\tlabel\t\r\na.jpg\tcat\t\r\nb.jpg\tdog\t\r\n",
        "path,label,,\na.jpg,cat,,\nb.jpg,dog,,\n",
        ",,\n\npath,label,\na.jpg,cat,\n,,\nb.jpg,dog,\n",
        "sep=;\r\npath;label\r\na.jpg;cat\r\nb.jpg;dog\r\n".encode("utf-16"),
    ],
)
def test_the_delimiter_is_the_one_under_which_the_header_names_the_columns(
    tmp_path: Path, content: str | bytes
) -> None:
    assert rows(written(tmp_path, content)) == TWO


def test_rows_are_placed_by_the_line_they_end_on_though_cells_hold_line_ends(tmp_path: Path) -> None:
    text = 'path,label\n"a\n\r\nb.jpg",cat\n\nc.jpg,dog\n"d\re.jpg",cat\n'
    assert [row.where for row in read_rows(written(tmp_path, text), [], True)] == ["line 4", "line 6", "line 8"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_table_of_more_rows_than_any_set_has_is_refused(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raytl.data.formats.rows.MAX_ROWS", 3)
    table = tmp_path / f"t.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"path": ["a.jpg"] * 4, "label": ["x"] * 4}), table)
    else:
        line = {"csv": "a.jpg,x\n", "jsonl": '{"path": "a.jpg", "label": "x"}\n'}[kind]
        table.write_text("path,label\n" * (kind == "csv") + line * 4)
    with pytest.raises(DataError, match="rows; expected at most"):
        read_rows(table, [], True)


def test_a_row_is_placed_by_its_line_in_the_file_also_below_a_hint(tmp_path: Path) -> None:
    text = 'sep=;\r\npath;label\r\n"a\r\nb.jpg";cat\r\n\r\nc.jpg;dog\r\n'
    assert [row.where for row in read_rows(written(tmp_path, text), [], True)] == ["line 4", "line 6"]


def label_of(folder: Path, value: Any, kind: str) -> str:
    if kind == "parquet":
        pq.write_table(pa.table({"path": ["a.jpg"], "label": [value]}), folder / "t.parquet")
        return rows(folder / "t.parquet")[0][1]
    line = json.dumps({"path": "a.jpg", "label": value})
    text = f"{line}\n" if kind == "jsonl" else f"path,label\na.jpg,{value}\n"
    return rows(written(folder, text, f"t.{kind}"))[0][1]


CLASSES: list[tuple[Any, str]] = [
    (True, "True"), (False, "False"), (1.0, "1"), (-3.0, "-3"), (1, "1"), ("1", "1"), ("1.0", "1"), (1.5, "1.5"),
    ("v1.0", "v1.0"), ("1.10", "1.10"), (float("nan"), ""), ("nan", ""), ("NA", "NA"), ("none", "none"), (" cat ", "cat"),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(("value", "expected"), CLASSES)
def test_a_label_is_the_same_class_in_each_format(tmp_path: Path, kind: str, value: Any, expected: str) -> None:
    assert label_of(tmp_path, value, kind) == expected


def test_categories_and_their_gaps_are_read_as_text(tmp_path: Path) -> None:
    labels = pa.array(["cat", "dog", None]).dictionary_encode()
    pq.write_table(pa.table({"Path ": ["a.jpg", "b.jpg", "c.jpg"], "LABEL": labels}), tmp_path / "t.parquet")
    assert rows(tmp_path / "t.parquet") == [*TWO, ("c.jpg", "", "")]


def test_json_lines_may_have_their_keys_in_any_case_and_order(tmp_path: Path) -> None:
    text = '{"Path": "a.jpg", "label": "cat"}\r{"LABEL": "dog", "x": 1, "path": "b.jpg"}\r\n\r\n'
    assert rows(written(tmp_path, text, "t.jsonl")) == TWO


def test_cells_that_hold_several_values_are_faults(tmp_path: Path) -> None:
    text = '{"path": "a.jpg", "label": ["cat"]}\n{"path": {"x": 1}, "label": "dog"}\n'
    found = read_rows(written(tmp_path, text, "t.jsonl"), [], True)
    assert [row.fault.partition(" (")[0] for row in found] == [
        "labels that are lists or objects",
        "paths that are lists or objects",
    ]


def test_without_labels_only_the_path_is_needed_and_keeps_its_bytes(tmp_path: Path) -> None:
    assert rows(written(tmp_path, b"id;PATH\n1;caf\xe9.jpg\n"), labeled=False) == [("caf\udce9.jpg", "", "")]
    with pytest.raises(DataError, match="line 2 is not UTF-8 text; save the table as UTF-8"):
        rows(written(tmp_path, b"path,label\ncaf\xe9.jpg,x\n"))
    with pytest.raises(DataError, match="not UTF-16 text"):
        rows(written(tmp_path, "path\na".encode("utf-16") + b"x"))


def part(table: Path, name: str, **columns: list[str]) -> None:
    (table / name).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), table / name)


def test_a_folder_of_parts_is_one_table(tmp_path: Path) -> None:
    table = tmp_path / "t.parquet"
    part(table, "part-00001-x.snappy.parquet", path=["b.jpg"], label=["dog"])
    part(table, "part-00000-x.snappy.parquet", path=["a.jpg"], label=["cat"])
    for name in ("_SUCCESS", "_metadata", "_common_metadata", ".part-00000-x.snappy.parquet.crc", "._SUCCESS.crc"):
        (table / name).write_bytes(b"x")
    assert rows(table) == TWO
    where = [row.where for row in read_rows(table, parts_in(table), True)]
    assert where == ["part-00000-x.snappy.parquet row 1", "part-00001-x.snappy.parquet row 1"]


def test_folders_of_partitions_are_columns_and_their_values_text(tmp_path: Path) -> None:
    table = tmp_path / "t.parquet"
    for label, path in (("07", "a.jpg"), ("big%20cat", "b.jpg"), ("__HIVE_DEFAULT_PARTITION__", "c.jpg")):
        part(table, f"split=train/label={label}/part-0.parquet", path=[path])
    assert rows(table) == [("a.jpg", "07", "train"), ("c.jpg", "", "train"), ("b.jpg", "big cat", "train")]
    part(tmp_path, "label=dog/one.parquet", path=["a.jpg"], label=["cat"])
    assert rows(tmp_path / "label=dog" / "one.parquet") == [("a.jpg", "cat", "")]


def test_parts_of_csv_have_a_header_each_and_may_be_empty(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    for number, text in enumerate(("path,label\na.jpg,cat\n", "", "label,path\ndog,b.jpg\n")):
        written(table, text, f"part-{number}.csv")
    assert rows(table) == TWO
    written(table, "c.jpg,cat\n", "part-3.csv")
    with pytest.raises(DataError, match=r"part-3\.csv: the header is missing"):
        rows(table)


def test_other_files_among_the_parts_are_named() -> None:
    assert parts_among(["cat/1.jpg", "_SUCCESS"], "s3://b/photos.csv/") == []
    assert parts_among(["_day=1/b.csv", "a.csv", "_tmp/c.csv"], "x.csv") == ["_day=1/b.csv", "a.csv"]
    with pytest.raises(
        DataError, match=r"x\.csv: 1 files in this folder are not parts .* only \.csv files.*\n  'p1\.csv\.gz'"
    ):
        parts_among(["p0.csv", "p1.csv.gz"], "x.csv")


def test_every_table_ending_has_a_reader() -> None:
    assert _READERS.keys() == TABLE_SUFFIXES
