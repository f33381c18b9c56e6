"""Manifests as spreadsheets, notebooks and scripts write them."""

from __future__ import annotations

import errno
import itertools
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raytl.data.formats import directory_listing, lists_classes, names_objects, scan
from raytl.data.formats.tables import keys_in, may_name_objects, read
from raytl.errors import DataError
from raytl.events import Recorder, Work
from raytl.store.open import fetched


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg", "sub dir/c, d.jpg", "é.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def rows(table: Path) -> list[tuple[str, str, str | None]]:
    return [(sample.key, sample.label, sample.split) for sample in scan(str(table)).samples]


def table(folder: Path, content: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


THREE = [("a.jpg", "cat", "train"), ("sub dir/c, d.jpg", "dog", "val"), ("é.jpg", "1", None)]
PLAIN = 'path,label,split\na.jpg,cat,train\n"sub dir/c, d.jpg",dog,validation\né.jpg,1,\n'


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.replace("\n", "\r\n"),
        "\n" + PLAIN + "\n , ,\n",
        ";Path; LABEL ;split;extra\n0;a.jpg;cat;TRAIN;\n1;sub dir/c, d.jpg;dog;val;\n2;é.jpg;1;;x\n",
        "path\tlabel\tsplit\na.jpg\t cat \ttrain\nsub dir\\c, d.jpg\tdog\tvalid\né.jpg\t1\t\n",
    ],
    ids=["plain", "bom", "utf-16", "crlf", "blank lines", "semicolons", "tabs and backslashes"],
)
def test_csv_of_every_kind_is_read(folder: Path, content: str | bytes) -> None:
    assert rows(table(folder, content)) == THREE


def test_jsonl_and_parquet_say_the_same(folder: Path) -> None:
    objects: list[dict[str, Any]] = [
        {"path": "a.jpg", "label": "cat", "split": "train"},
        {"path": "sub dir/c, d.jpg", "label": "dog", "split": "val"},
        {"path": "é.jpg", "label": 1, "split": None},
    ]
    assert rows(table(folder, "\n".join(map(json.dumps, objects)), "table.jsonl")) == THREE
    columns = {"path": [o["path"] for o in objects], "label": ["cat", "dog", "1"], "split": ["train", "val", None]}
    pq.write_table(pa.table(columns), folder / "table.parquet")
    assert rows(folder / "table.parquet") == THREE


def test_whole_numbers_that_pandas_made_floats_are_classes(folder: Path) -> None:
    pq.write_table(pa.table({"path": ["a.jpg", "b.jpg"], "label": [1.0, 2.0]}), folder / "t.parquet")
    assert rows(folder / "t.parquet") == [("a.jpg", "1", None), ("b.jpg", "2", None)]


def test_a_class_may_be_called_na_or_null(folder: Path) -> None:
    assert rows(table(folder, "path,label\na.jpg,NA\nb.jpg,null\n")) == [("a.jpg", "NA", None), ("b.jpg", "null", None)]


def test_absolute_paths_and_paths_beside_the_folder_work(folder: Path) -> None:
    (folder / "lists").mkdir()
    content = f"path,label\n../a.jpg,cat\n{folder}/b.jpg,dog\n"
    assert [key for key, _, _ in rows(table(folder, content, "lists/t.csv"))] == ["../a.jpg", "../b.jpg"]


def test_a_repeated_row_counts_once_and_is_told(folder: Path) -> None:
    manifest = scan(str(table(folder, "path,label\na.jpg,cat\n./a.jpg,cat\nb.jpg,dog\n")))
    assert len(manifest.samples) == 2
    assert manifest.warnings == (f"{folder}/table.csv: 1 rows repeat another row and count once",)


def test_every_problem_of_the_rows_is_listed_at_once(folder: Path) -> None:
    content = (
        "path,label,split\na.jpg,cat,train\na.jpg,dog,train\nb.jpg,,\n,cat,\nmissing one.jpg,cat,\n"
        "c, d.jpg,dog,\nb.jpg,dog,hold\nhttps://other/x.jpg,dog,\n" + "".join(f"gone{i}.jpg,cat,\n" for i in range(12))
    )
    with pytest.raises(DataError, match="fix the manifest") as caught:
        scan(str(table(folder, content)))
    text = str(caught.value)
    for line in (
        "1 paths with conflicting labels or splits:\n  'a.jpg': line 2 has 'cat' train, line 3 has 'dog' train",
        "1 rows without a label (empty, null or NaN):\n  line 4: 'b.jpg'",
        "1 rows with an empty path:\n  line 5",
        "13 paths without a file:\n  line 6: 'missing one.jpg'",
        "  ... and 3 more",
        "1 rows with too many cells (quote paths that contain the delimiter):\n  line 7",
        "1 rows with an unknown split (expected train, val, test or empty):\n  line 8: 'hold'",
        "1 paths with an unsupported scheme (expected s3://bucket/key, or a path):\n  line 9: 'https://other/x.jpg'",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "t.csv",
            "file,class\na.jpg,cat\n",
            r"found the columns 'file', 'class'; .* Rename 'file' to 'path' and rename 'class' to 'label'",
        ),
        ("t.csv", "path,label,path\n", "Keep only one column 'path'"),
        ("t.csv", "", r"found the columns \(none\); expected path, label"),
        ("t.csv", "path,label\n", "no images found"),
        ("t.csv", b"path,label\n\xe9.jpg,cat\n", "line 2 is not UTF-8 text; save the table as UTF-8"),
        ("t.csv", 'path,label\n"a.jpg,cat\n', "line 2 is not CSV"),
        (
            "t.jsonl",
            '{"path": "a.jpg", "label": "x"}\n[1]\nnope\n',
            r"(?s)expected one JSON object per line.*line 2.*line 3",
        ),
        ("t.jsonl", '{"path": "a.jpg"}\n', "t.jsonl line 1: found the columns 'path'; .* Add a column 'label'"),
        ("t.jsonl", '{"path": "a.jpg", "label": ["x"]}\n', "1 labels that are lists or objects"),
        ("t.parquet", b"PAR1 not really", "not a Parquet file"),
    ],
)
def test_a_table_that_is_none_is_refused(folder: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        scan(str(table(folder, content, name)))


def test_the_keys_to_pull_are_those_inside_the_folder(folder: Path) -> None:
    content = "path,label\nb.jpg,x\n./a.jpg,x\na.jpg,y\n../up.jpg,x\n/abs.jpg,x\ns3://b/k.jpg,x\n,x\n"
    assert keys_in(read(table(folder, content))) == ["a.jpg", "b.jpg"]
    spelt = "path,label\n sub\\b.jpg ,x\n"
    assert keys_in(read(table(folder, spelt))) == [" sub\\b.jpg ", "sub/b.jpg", "sub\\b.jpg"]


def test_a_file_by_a_name_in_other_capitals_is_missing_and_named(folder: Path) -> None:
    content = "path,label\n./A.JPG,cat\nSub Dir/C, d.jpg,dog\nb.jpg,dog\nE.jpg,cat\n".replace(
        "Sub Dir/C, d.jpg", '"Sub Dir/C, d.jpg"'
    )
    with pytest.raises(DataError, match="3 paths without a file") as raised:
        scan(str(table(folder, content)))
    assert "line 2: 'A.JPG' (there is 'a.jpg')\n" in str(raised.value)
    assert "line 3: 'Sub Dir/C, d.jpg' (there is 'sub dir/c, d.jpg')\n" in str(raised.value)
    assert str(raised.value).endswith("line 5: 'E.jpg'")


def test_a_path_too_long_for_any_file_is_a_missing_file(folder: Path) -> None:
    with pytest.raises(DataError, match="1 paths without a file"):
        scan(str(table(folder, f"path,label\n{'x' * 4000}.jpg,cat\na.jpg,dog\n")))


@pytest.mark.parametrize("row", [f"{'x' * 5000}.jpg,cat", f"a.jpg,{'c' * 5000}"])
def test_a_path_or_a_label_without_end_is_refused_and_not_shown_whole(folder: Path, row: str) -> None:
    with pytest.raises(DataError, match="1 rows with a path or a label of more than 4096 characters") as refused:
        scan(str(table(folder, f"path,label\n{row}\nb.jpg,dog\n")))
    assert len(str(refused.value)) < 1000


def test_paths_in_a_folder_of_parts_are_relative_to_what_the_folder_lies_in(folder: Path) -> None:
    for name, label in (("a", "cat"), ("b", "dog")):
        (folder / "t.parquet" / f"label={label}").mkdir(parents=True)
        pq.write_table(pa.table({"path": [f"{name}.jpg"]}), folder / "t.parquet" / f"label={label}" / "0.parquet")
    assert rows(folder / "t.parquet") == [("a.jpg", "cat", None), ("b.jpg", "dog", None)]


def test_a_folder_of_classes_may_be_called_like_a_table(folder: Path) -> None:
    for name in ("cat", "dog"):
        (folder / "photos.csv" / name).mkdir(parents=True)
        (folder / "photos.csv" / name / "1.jpg").write_bytes(b"x")
    assert rows(folder / "photos.csv") == [("cat/1.jpg", "cat", None), ("dog/1.jpg", "dog", None)]


@pytest.mark.s3
@pytest.mark.parametrize("end", ["", "/"])
def test_a_prefix_of_parts_is_a_table_and_only_the_parts_that_are_there_now_count(
    bucket: str, s3_client: Any, end: str
) -> None:
    def put(key: str, text: str) -> None:
        s3_client.put_object(Bucket=bucket, Key=key, Body=text.encode())

    for key, text in (
        ("set/a.jpg", "a"),
        ("set/sub/b.jpg", "b"),
        ("set/t.csv/_SUCCESS", ""),
        ("set/t.csv/part-0.csv", "path,label\na.jpg,cat\n"),
        ("set/t.csv/part-1.csv", "path,label\n sub\\b.jpg ,dog\n"),
        ("set/t.csv/part-2.csv", "path,label\ngone.jpg,dog\n"),
    ):
        put(key, text)
    with pytest.raises(DataError, match=r"1 paths without a file:\n  part-2\.csv line 2: 'gone\.jpg'"):
        scan(f"s3://{bucket}/set/t.csv{end}")
    s3_client.delete_object(Bucket=bucket, Key="set/t.csv/part-2.csv")
    for stream in (False, True):
        samples = scan(f"s3://{bucket}/set/t.csv{end}", stream=stream).samples
        assert [(sample.key, sample.label) for sample in samples] == [("a.jpg", "cat"), ("sub/b.jpg", "dog")]


NFC, NFD = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(("stored", "named"), [(NFC, NFD), (NFD, NFC)])
def test_a_table_finds_files_and_joins_labels_in_either_unicode_form(tmp_path: Path, stored: str, named: str) -> None:
    (tmp_path / stored).mkdir()
    for name in ("1", "2", "3"):
        (tmp_path / stored / f"{name}.jpg").write_bytes(b"x")
    content = f"path,label\n{named}/1.jpg,{NFC}\n{stored}/1.jpg,{NFD} \n{named}/2.jpg,{NFD}\n{stored}/3.jpg,dog\n"
    manifest = scan(str(table(tmp_path, content)))
    assert [(sample.key, sample.label) for sample in manifest.samples] == [
        (f"{NFC}/1.jpg", NFC), (f"{NFC}/2.jpg", NFC), (f"{NFC}/3.jpg", "dog"),
    ]  # fmt: skip
    assert all(Path(sample.path).is_file() for sample in manifest.samples)
    assert manifest.warnings == (f"{tmp_path}/table.csv: 1 rows repeat another row and count once",)


@pytest.mark.s3
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("stored", "named"), [(NFC, NFD), (NFD, NFC)])
def test_a_table_finds_the_objects_of_a_bucket_in_either_unicode_form(
    bucket: str, s3_client: Any, tmp_path: Path, stored: str, named: str, stream: bool
) -> None:
    content = f"path,label\n{named}/1.jpg,cat\n{named}/2.jpg,dog\n"
    for key, body in ((f"{stored}/1.jpg", "1"), (f"{stored}/2.jpg", "2"), ("rows.csv", content)):
        s3_client.put_object(Bucket=bucket, Key=f"set/{key}", Body=body.encode())
    here = table(tmp_path, content.replace(f"{named}/", f"s3://{bucket}/set/{named}/"))
    for _ in range(2):  # the second time what was pulled is still there
        beside, elsewhere = scan(f"s3://{bucket}/set/rows.csv", stream=stream), scan(str(here), stream=stream)
        assert [sample.key for sample in beside.samples] == [f"{NFC}/1.jpg", f"{NFC}/2.jpg"]
        assert [sample.key for sample in elsewhere.samples] == [f"{bucket}/set/{NFC}/{n}.jpg" for n in (1, 2)]
        for sample in (*beside.samples, *elsewhere.samples):
            assert fetched(sample.path) == sample.key[-5].encode() if stream else Path(sample.path).is_file()


@pytest.mark.s3
def test_a_manifest_may_name_objects_of_several_buckets(bucket: str, s3_client: Any, tmp_path: Path) -> None:
    other = f"{bucket}-other"
    s3_client.create_bucket(Bucket=other)
    for name, key in ((bucket, "a/1.jpg"), (bucket, "b/2.jpg"), (other, "3.jpg")):
        s3_client.put_object(Bucket=name, Key=key, Body=key.encode())
    (tmp_path / "here.jpg").write_bytes(b"here")
    table = tmp_path / "photos.csv"
    table.write_text(
        f"path,label\ns3://{bucket}/a/1.jpg,cat\ns3://{bucket}/b/2.jpg,dog\ns3://{other}/3.jpg,cat\nhere.jpg,dog\n"
    )
    samples = scan(str(table)).samples
    assert {sample.key: sample.label for sample in samples} == {
        f"{bucket}/a/1.jpg": "cat", f"{bucket}/b/2.jpg": "dog", f"{other}/3.jpg": "cat", "here.jpg": "dog",
    }  # fmt: skip
    assert {Path(sample.path).read_bytes() for sample in samples} == {b"a/1.jpg", b"b/2.jpg", b"3.jpg", b"here"}
    table.write_text(table.read_text() + f"s3://{bucket}/gone.jpg,dog\n")
    with pytest.raises(DataError, match=r"1 paths without a file:\n.*gone\.jpg"):
        scan(str(table))


def test_a_table_that_cannot_be_searched_for_uris_is_left_to_its_reading(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_device(*_: object, **__: object) -> None:
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr("raytl.data.formats.tables.mmap", no_device)
    assert not names_objects(str(table(folder, PLAIN)))
    monkeypatch.setattr(Path, "open", no_device)
    monkeypatch.setattr(Path, "is_file", no_device)
    assert may_name_objects(folder / "table.csv")


def many(tmp_path: Path, rows: int, per_folder: int) -> Path:
    """A table of so many rows, each of a file of its own."""
    lines = ["path,label,split\n"]
    for number in range(rows):
        path = tmp_path / f"photos/{number // per_folder:03d}/{number:06d}.jpg"
        if number % per_folder == 0:
            path.parent.mkdir(parents=True)
        path.touch()
        lines.append(f"{path.relative_to(tmp_path)},class {number % 50},train\n")
    return table(tmp_path, "".join(lines))


def test_a_folder_that_many_rows_name_is_listed_and_not_asked_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(directory_listing, "is_file", lambda path: asked.append(path) or Path(path).is_file())
    assert len(scan(str(many(tmp_path, 3000, 1000))).samples) == 3000
    assert len(asked) < 100


def test_a_missing_file_in_a_folder_that_was_listed_is_named(tmp_path: Path) -> None:
    place = many(tmp_path, 300, 300)
    (tmp_path / "photos/000/000250.jpg").unlink()
    (tmp_path / "photos/000/000251.jpg").unlink()
    (tmp_path / "photos/000/000251.jpg").mkdir()
    (tmp_path / "photos/000/000252.jpg").unlink()
    (tmp_path / "photos/000/000252.jpg").symlink_to(tmp_path / "photos/000/000253.jpg")
    with pytest.raises(DataError, match=r"2 paths without a file:\n  line 252: .*\n  line 253: .*"):
        scan(str(place))


def test_rows_that_repeat_one_of_another_class_are_refused_with_both_lines(folder: Path) -> None:
    with pytest.raises(DataError, match="'a.jpg': line 2 has 'cat', line 4 has 'dog'"):
        scan(str(table(folder, "path,label\na.jpg,cat\na.jpg,cat\na.jpg,dog\nb.jpg,dog\n")))


def test_a_table_takes_few_bytes_a_row(tmp_path: Path) -> None:
    place = many(tmp_path, 4000, 1000)
    scan(str(place))  # imports
    tracemalloc.start()
    scan(str(place))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{peak / 4000:.0f} bytes a row")
    assert peak / 4000 < 700


def test_a_table_that_takes_long_tells_how_far_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr("raytl.events.monotonic", lambda: float(next(clock)))
    told = Recorder()
    scan(str(table(folder, PLAIN)), told)
    works = [event for event in told.events if isinstance(event, Work)]
    assert works == [Work("finding the files of the table", done, 3, "rows") for done in (0, 3)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("uri", ["s3://bucket/a.jpg", "s4://bucket/a.jpg", "a.jpg"])
def test_a_table_names_objects_if_one_of_its_paths_is_an_s3_uri(folder: Path, encoding: str, uri: str) -> None:
    bom = "\ufeff" if encoding == "utf-16-le" else ""
    content = f'{bom}path,label\nb.jpg,cat\n"{uri}",dog\n'.encode(encoding)
    assert names_objects(str(table(folder, content))) == uri.startswith("s3:")


def test_an_s3_uri_in_another_column_names_no_object(folder: Path) -> None:
    assert not names_objects(str(table(folder, "path,label,note\na.jpg,cat,s3://bucket/a.jpg\n")))


def test_no_row_is_read_to_see_that_a_table_lists_classes(folder: Path) -> None:
    assert lists_classes(str(table(folder, "path,label\ngone.jpg\n")))
    assert not lists_classes(str(table(folder, "path,xmin,ymin,xmax,ymax,label\na.jpg,1,2,3,4,cat\n")))
    assert not lists_classes(str(folder))
    assert not lists_classes("s3://bucket/table.csv")
