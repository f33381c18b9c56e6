"""Tables of boxes in their common spellings, in CSV, Parquet and JSONL; broken rows are listed with their line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raytl.config.annotations import AnnotationsConfig
from raytl.data.formats import scan
from raytl.data.manifest import Manifest
from raytl.data.targets import Box, Boxes
from raytl.errors import DataError
from tests.data.annotations import writers

CAT = Box("cat", 4.0, 6.0, 20.0, 12.0)


def _read(table: Path, **options: object) -> Manifest:
    return scan(str(table), annotations=AnnotationsConfig.model_validate(options))


def _write(root: Path, *lines: str) -> Path:
    writers.image(root / "a.jpg")
    writers.write(root / "boxes.csv", "\n".join(lines))
    return root / "boxes.csv"


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("path,xmin,ymin,xmax,ymax,label", "a.jpg,4,6,20,12,cat"),
        ("filename,width,height,class,xmin,ymin,xmax,ymax", "a.jpg,40,24,cat,4,6,20,12"),
        ("image;x1;y1;x2;y2;class", "a.jpg;4;6;20;12;cat"),
        ("file_name,x_min,y_min,x_max,y_max,category", "a.jpg,4,6,20,12,cat"),
        ("path,x,y,w,h,label", "a.jpg,4,6,16,6,cat"),
        ("path,bbox_x,bbox_y,bbox_width,bbox_height,label", "a.jpg,4,6,16,6,cat"),
        ("path,x_center,y_center,width,height,label", "a.jpg,12,9,16,6,cat"),
        ("ImageID,LabelName,XMin,XMax,YMin,YMax", "a.jpg,cat,0.1,0.5,0.25,0.5"),
        ("path,x_center,y_center,width,height,label", "a.jpg,0.3,0.375,0.4,0.25,cat"),
    ],
)
def test_the_common_spellings_of_columns_are_read(tmp_path: Path, header: str, row: str) -> None:
    assert _read(_write(tmp_path, header, row)).samples[0].target == Boxes(40, 24, (CAT,))


def test_fractions_are_said(tmp_path: Path) -> None:
    table = _write(tmp_path, "path,xmin,ymin,xmax,ymax,label", "a.jpg,0.1,0.25,0.5,0.5,cat")
    assert any("read as fractions of the image" in line for line in _read(table).warnings)


def test_corners_counted_from_one_are_moved_on_demand(tmp_path: Path) -> None:
    table = _write(tmp_path, "path,xmin,ymin,xmax,ymax,label", "a.jpg,5,7,20,12,cat")
    assert _read(table, box_origin=1).samples[0].target == Boxes(40, 24, (CAT,))


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_parquet_and_jsonl_are_read_as_csv(tmp_path: Path, ending: str) -> None:
    table = writers.table(tmp_path)
    header, *rows = (line.split(",") for line in table.read_text().splitlines())
    records = [
        {
            name: (float(cell) if name[0] in "xy" else cell) if cell else None
            for name, cell in zip(header, row, strict=True)
        }
        for row in rows
    ]
    other = tmp_path / f"boxes.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(records), other)
    else:
        writers.write(other, "\n".join(map(json.dumps, records)))
    assert writers.content(_read(other)) == writers.content(_read(table))


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("a.jpg,4,6,20,,cat", r"coordinates are not four numbers:\n  boxes\.csv line 2"),
        ("a.jpg,4,6,20,nan,cat", "not four numbers"),
        ("a.jpg,4,6,20,x,cat", "not four numbers"),
        ("a.jpg,4,6,20,1e999,cat", "not four numbers"),
        ("a.jpg,4,6,20,12,", r"a box and without a label:\n  boxes\.csv line 2"),
        ("b.jpg,4,6,20,12,cat", "paths without a file"),
        (",4,6,20,12,cat", "empty path"),
        ("a.jpg,4,6,4,12,cat", r"without area:\n  boxes\.csv line 2: 4, 6, 4, 12"),
        ("a.jpg,4,6,20,12,cat,more", "7 cells in 6 columns"),
        ("./a.jpg,4,6,20,12,cat\na.jpg,4,6,20,12,cat", "two spellings of their path"),
    ],
)
def test_broken_rows_are_listed_with_their_line(tmp_path: Path, row: str, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        _read(_write(tmp_path, "path,xmin,ymin,xmax,ymax,label", row))


def test_an_image_in_two_splits_is_an_error(tmp_path: Path) -> None:
    rows = ("a.jpg,4,6,20,12,cat,train", "a.jpg,5,6,20,12,cat,val")
    with pytest.raises(DataError, match=r"images in two splits:\n  boxes\.csv line 3"):
        _read(_write(tmp_path, "path,xmin,ymin,xmax,ymax,label,split", *rows))


def test_a_table_of_classes_is_not_one_of_boxes(tmp_path: Path) -> None:
    writers.image(tmp_path / "b.jpg")
    table = _write(tmp_path, "path,label,x,y", "a.jpg,cat,1,2", "b.jpg,dog,3,4")
    assert {sample.target for sample in _read(table).samples} == {"cat", "dog"}
    with pytest.raises(DataError, match="expected path, xmin, ymin, xmax, ymax and label"):
        _read(table, format="table")
