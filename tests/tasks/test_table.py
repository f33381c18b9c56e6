from __future__ import annotations

import csv
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from raytl.errors import UserError
from raytl.tasks.table import as_csv, write_table

TABLE = {"path": ["a b.jpg", "=1.jpg", "new\nline.jpg"], "label": ["x", None, '"q", r'], "score": [0.5, None, 1 / 3]}


def test_csv_round_trips_text_numbers_and_empty_cells(tmp_path: Path) -> None:
    write_table(TABLE, tmp_path / "t.CSV")
    with (tmp_path / "t.CSV").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["path", "label", "score"], ["a b.jpg", "x", "0.5"], ["./=1.jpg", "", ""], ["new\nline.jpg", '"q", r', "0.333333"],
    ]  # fmt: skip


def test_parquet_round_trips_text_numbers_and_empty_cells(tmp_path: Path) -> None:
    write_table(TABLE, tmp_path / "t.parquet")
    assert pq.read_table(tmp_path / "t.parquet").to_pydict() == TABLE


def test_a_column_of_empty_cells_and_a_table_without_rows_are_written(tmp_path: Path) -> None:
    write_table({"path": [], "label": []}, tmp_path / "none.parquet")
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0
    write_table({"path": ["a"], "label": [None]}, tmp_path / "empty.parquet")
    assert pq.read_table(tmp_path / "empty.parquet").to_pydict() == {"path": ["a"], "label": [None]}
    assert as_csv({"path": [], "label": []}) == b"path,label\n"


def test_names_that_are_not_utf8_are_written(tmp_path: Path) -> None:
    table = {"path": ["caf\udce9.jpg"]}
    assert as_csv(table) == b"path\ncaf\xe9.jpg\n"
    write_table(table, tmp_path / "t.parquet")
    assert pq.read_table(tmp_path / "t.parquet").to_pydict() == {"path": ["caf\\xe9.jpg"]}


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"found the ending '.xlsx', expected .csv or .parquet"):
        write_table(TABLE, tmp_path / "t.xlsx")
