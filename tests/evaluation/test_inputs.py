from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raytl.errors import DataError
from raytl.evaluation.inputs import photos

ODD = ["a b.jpg", 'quo"te.png', "new\nline.JPG", "ünï.webp", "com,ma.jpeg"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    (root / "deep" / "er").mkdir(parents=True)
    for name in [*ODD, "deep/er/x.jpg", "notes.txt", ".hidden.jpg", "deep/Thumbs.db"]:
        (root / name).write_bytes(b"")
    (root / ".git").mkdir()
    (root / ".git" / "y.jpg").write_bytes(b"")
    return root


def test_a_folder_gives_its_photos_at_any_depth_in_order_and_no_hidden_ones(folder: Path) -> None:
    assert photos([folder]) == tuple(str(folder / name) for name in [*sorted(ODD), "deep/er/x.jpg"])


def test_what_a_folder_holds_besides_photos_is_named_with_the_reason(folder: Path) -> None:
    (folder / "download").write_bytes(b"")
    (folder / "photo.jpg_large").write_bytes(b"")
    (folder / "@eaDir" / "x.jpg").mkdir(parents=True)
    (folder / "@eaDir" / "x.jpg" / "SYNOPHOTO_THUMB_M.jpg").write_bytes(b"")
    (folder / "empty").mkdir()
    said: dict[str, str] = {}
    assert len(photos([folder], said.__setitem__)) == len(ODD) + 1
    assert said == {
        str(folder / "notes.txt"): "files that are not images",
        str(folder / "download"): "files that are not images",
        str(folder / "photo.jpg_large"): "files that are not images",
        str(folder / ".hidden.jpg"): "hidden files",
        str(folder / "deep/Thumbs.db"): "system files",
        str(folder / "@eaDir"): "system files",
        str(folder / ".git"): "system files",
    }


def test_linked_folders_and_folders_that_begin_with_a_dot_are_searched_as_training_searches_them(
    folder: Path, tmp_path: Path
) -> None:
    days = tmp_path / "days"
    (days / ".22 LR").mkdir(parents=True)
    (days / ".22 LR" / "1.jpg").write_bytes(b"")
    (days / "day1").symlink_to(folder / "deep")
    (days / "again").symlink_to(days)
    assert photos([days]) == (str(days / ".22 LR/1.jpg"), str(days / "day1/er/x.jpg"))


def test_a_folder_without_photos_says_what_it_holds(tmp_path: Path) -> None:
    for name in ("download", "b.mov"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(
        DataError, match=r"(?s)no photos in this folder.*2 files that are not images left out:\n  'b.mov'"
    ):
        photos([tmp_path])


def test_a_single_file_is_taken_whatever_it_is_called(folder: Path) -> None:
    assert photos([folder / "notes.txt"]) == (str(folder / "notes.txt"),)


def test_several_inputs_give_each_photo_once(folder: Path) -> None:
    assert len(photos([folder, folder / "deep", folder / "a b.jpg"])) == len(ODD) + 1


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_a_manifest_needs_only_a_path_column_and_may_name_missing_files(folder: Path, ending: str) -> None:
    table = folder / f"list.{ending}"
    names = [*ODD, "gone.jpg", "/abs/olute.jpg"]
    if ending == "parquet":
        pq.write_table(pa.table({"extra": names, "path": names}), table)
    elif ending == "jsonl":
        table.write_text("\n".join(json.dumps({"path": name}) for name in names) + "\n")
    else:
        with table.open("w", newline="") as file:
            rows = csv.writer(file, delimiter="," if ending == "csv" else "\t")
            rows.writerows([["Path", "label"], *([name, "cat"] for name in names)])
    assert photos([table]) == (*(str(folder / name) for name in [*ODD, "gone.jpg"]), "/abs/olute.jpg")


def test_what_predict_wrote_can_be_read_as_a_manifest_again(folder: Path) -> None:
    (folder / "one.csv").write_text("path\na b.jpg\n")
    assert photos([folder / "one.csv"]) == (str(folder / "a b.jpg"),)


def test_all_wrong_inputs_are_named_at_once(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.csv").write_text("file\na.jpg\n")
    (tmp_path / "none.csv").write_text("path\n")
    (tmp_path / "bad.parquet").write_bytes(b"PAR")
    (tmp_path / "bad.jsonl").write_text("[1]\n")
    names = ["empty", "gone", "no.csv", "none.csv", "bad.parquet", "bad.jsonl"]
    with pytest.raises(DataError, match="no photos in this folder") as raised:
        photos([folder, *(tmp_path / name for name in names)])
    lines = [line for line in str(raised.value).split("\n") if not line.startswith(" ")]
    assert [line.partition(":")[0] for line in lines] == [str(tmp_path / name) for name in names]
    assert "gone: no such file or folder; expected a folder, a manifest or a photo" in lines[1]
    assert "found the columns 'file'; expected one column path. Rename 'file' to 'path'" in lines[2]
    assert "names no photos" in lines[3]
    assert "not a Parquet file" in lines[4]
    assert lines[5].endswith('expected one JSON object per line, {"path": ...}; found')


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "path,label\nsub dir/a.jpg,x\n".encode("utf-16")),
        ("t.csv", b"path|label\nsub dir/a.jpg|x\n"),
        ("t.csv", b"path,label\r\nsub dir\\a.jpg,x\r\n"),
        ("t.csv", b"path;label\n sub dir/a.jpg ;x\n"),
        ("t.csv", b"\npath,label\nsub dir/a.jpg,x\n"),
        ("t.csv", b'sep=;\npath;"a,b,c"\nsub dir/a.jpg;1\n'),
        ("t.jsonl", b'{"Path": "sub dir/a.jpg"}\n'),
        ("parts.csv/part-0.csv", b"path\nsub dir/a.jpg\n"),
    ],
    ids=["utf-16", "pipe", "backslash", "blanks", "empty first line", "sep", "jsonl", "parts"],
)
def test_what_training_reads_as_a_manifest_is_read(tmp_path: Path, name: str, content: bytes) -> None:
    for file, text in (("sub dir/a.jpg", b"x"), (name, content)):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(text)
    assert photos([tmp_path / Path(name).parts[0]]) == (str(tmp_path / "sub dir" / "a.jpg"),)


def test_parquet_may_spell_the_column_in_capitals(folder: Path) -> None:
    pq.write_table(pa.table({"PATH": ["a b.jpg"]}), folder / "t.parquet")
    assert photos([folder / "t.parquet"]) == (str(folder / "a b.jpg"),)


def test_rows_that_name_no_file_are_listed_and_objects_of_buckets_stay_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text("path\n s3://b/k 1.jpg\n")
    assert photos([tmp_path / "good.csv"]) == ("s3://b/k 1.jpg",)
    (tmp_path / "bad.csv").write_text("path,x\n,1\nhttps://h/a.jpg,2\na,b.jpg,3\n")
    with pytest.raises(
        DataError, match=r"1 rows with an empty path:\n  line 2.*\n.*unsupported scheme.*\n  line 3.*\n.*too many cells"
    ):
        photos([tmp_path / "bad.csv"])


def test_no_input_is_an_error() -> None:
    with pytest.raises(DataError, match="no input; expected"):
        photos([])
