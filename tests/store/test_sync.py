"""A pull mirrors the store on this node, fetches only changed files, and survives kills."""

from __future__ import annotations

import json
import random
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from raytl.data.formats import scan
from raytl.errors import Archived, DataError, Denied, NotFound, StoreError, Unavailable
from raytl.events import Message, Recorder, Work
from raytl.store import s3
from raytl.store.contract import ObjectInfo
from raytl.store.local import LocalStore
from raytl.store.open import open_store
from raytl.store.sync import pull
from tests.conftest import S3, SWIFT


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys fetched from folders, in order."""
    keys: list[str] = []
    real = LocalStore.get_to_file

    def get(self: LocalStore, key: str, path: Path, size: int, etag: str | None = None) -> None:
        keys.append(key)
        real(self, key, path, size, etag)

    monkeypatch.setattr(LocalStore, "get_to_file", get)
    return keys


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for key in ("cat/1.jpg", "cat/2.jpg", "dog/a b'\n.jpg"):
        path = tmp_path / "source" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(key.encode())
    return tmp_path / "source"


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_file_is_fetched_once(source: Path, fetched: list[str]) -> None:
    watcher = Recorder()
    assert tree(pull(str(source), watcher)) == tree(source)
    assert watcher.events[-1] == Work(
        f"pull {source}", 3, 3, "files", sum(len(content) for content in tree(source).values())
    )
    assert sorted(fetched) == sorted(tree(source))
    fetched.clear()
    pull(str(source))
    assert fetched == []


def test_changed_files_are_fetched_and_deleted_ones_removed(source: Path, fetched: list[str]) -> None:
    pull(str(source))
    fetched.clear()
    (source / "cat/1.jpg").write_bytes(b"new")
    (source / "cat/2.jpg").unlink()
    (source / "owl").mkdir()
    (source / "owl/1.jpg").write_bytes(b"owl")
    assert tree(pull(str(source))) == tree(source)
    assert sorted(fetched) == ["cat/1.jpg", "owl/1.jpg"]


def test_a_file_that_became_a_folder_is_replaced(source: Path) -> None:
    pull(str(source))
    (source / "cat/1.jpg").unlink()
    (source / "cat/1.jpg").mkdir()
    (source / "cat/1.jpg/x").write_bytes(b"x")
    assert tree(pull(str(source))) == tree(source)


def test_a_folder_that_became_a_file_is_replaced(source: Path) -> None:
    pull(str(source))
    (source / "cat/1.jpg").unlink()
    (source / "cat/2.jpg").unlink()
    (source / "cat").rmdir()
    (source / "cat").write_bytes(b"a file now")
    assert tree(pull(str(source))) == tree(source)


def test_a_pull_that_finds_nothing_new_writes_nothing(source: Path) -> None:
    place = pull(str(source)).parent
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.name != "lock"}
    pull(str(source))
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.name != "lock"} == before


def test_files_fetched_in_bulk_are_kept_when_the_rest_fails(
    source: Path, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def some(self: LocalStore, wanted: list[ObjectInfo], folder: Path) -> Generator[ObjectInfo, None, None]:
        for info in wanted[:2]:
            (folder / info.key).write_bytes((source / info.key).read_bytes())
            yield info

    def denied(self: LocalStore, key: str, path: Path, size: int, etag: str | None = None) -> None:
        fetched.append(key)
        raise Denied("no")

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "get_files", some)
        patch.setattr(LocalStore, "get_to_file", denied)
        with pytest.raises(Denied, match="no"):
            pull(str(source))
    assert fetched == ["dog/a b'\n.jpg"]
    fetched.clear()
    assert tree(pull(str(source))) == tree(source)
    assert fetched == ["dog/a b'\n.jpg"]


def test_a_killed_pull_resumes_from_the_whole_files(
    source: Path, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("raytl.store.sync._finish", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt("killed")))
        with pytest.raises(KeyboardInterrupt, match="killed"):
            pull(str(source))
    fetched.clear()
    assert tree(pull(str(source))) == tree(source)
    assert fetched == []


def test_a_torn_line_of_the_journal_costs_one_fetch(source: Path, fetched: list[str]) -> None:
    folder = pull(str(source)).parent
    rows = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").unlink()
    lines = [json.dumps(row) for row in rows]
    (folder / "journal.jsonl").write_text("\n".join([*lines[:2], lines[2][:20]]))
    fetched.clear()
    assert tree(pull(str(source))) == tree(source)
    assert fetched == [rows[2]["key"]]


def test_a_file_damaged_here_is_fetched_again(source: Path, fetched: list[str]) -> None:
    (pull(str(source)) / "cat/1.jpg").write_bytes(b"")
    fetched.clear()
    assert tree(pull(str(source))) == tree(source)
    assert fetched == ["cat/1.jpg"]


def test_an_empty_prefix_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="empty: found nothing there; check the bucket"):
        pull(str(tmp_path / "empty"))
    with pytest.raises(NotFound, match="empty: found none of 'a', 'b' there; check the bucket"):
        pull(str(tmp_path / "empty"), only=["b", "a"])
    with pytest.raises(NotFound, match="empty: found none of '0', '1', '2' and 2 more there; check the bucket"):
        pull(str(tmp_path / "empty"), only="01234")


@pytest.mark.parametrize("keys", [["../up"], ["a//b"], ["a", "a/b"], ["x" * 256], ["a/./b"], ["nul\0"]])
def test_keys_that_cannot_be_files_are_refused(source: Path, monkeypatch: pytest.MonkeyPatch, keys: list[str]) -> None:
    infos = [ObjectInfo(key, 1, "e") for key in keys]
    monkeypatch.setattr(LocalStore, "list", lambda *_, **__: iter(infos))
    with pytest.raises(DataError, match=rf"1 of {len(keys)} keys cannot be files; expected names"):
        pull(str(source))


def test_a_pull_that_stops_waits_for_no_retry(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    is_waiting = Event()

    def get(self: LocalStore, key: str, path: Path, size: int, etag: str | None = None) -> None:
        tried.append(key)
        if key == "cat/1.jpg":
            assert is_waiting.wait(10)
            raise Denied("no")
        is_waiting.set()
        raise Unavailable("not now")

    monkeypatch.setattr(LocalStore, "get_to_file", get)
    monkeypatch.setattr(random, "uniform", lambda *_: 100.0)
    with pytest.raises(Denied, match="no"):
        pull(str(source))
    assert len(set(tried)) == len(tried) >= 2


def test_an_object_that_changes_during_a_pull_is_an_error(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalStore, "list", lambda *_, **__: iter([ObjectInfo("cat/1.jpg", 99, "e")]))
    with pytest.raises(
        StoreError, match="holds 9 bytes, but was listed with 99: it changed after the listing. Run again"
    ):
        pull(str(source))


def test_only_the_requested_keys_are_pulled_and_others_stay(source: Path, fetched: list[str]) -> None:
    folder = pull(str(source), only=["cat/1.jpg", "no/such.jpg"])
    assert list(tree(folder)) == ["cat/1.jpg"]
    pull(str(source), only=["cat/2.jpg"])
    assert sorted(tree(folder)) == ["cat/1.jpg", "cat/2.jpg"]
    pull(str(source))
    assert len(fetched) == 3


@pytest.mark.parametrize("there", [S3, SWIFT])
@pytest.mark.thorough
def test_hundreds_of_files_in_a_bucket_are_pulled_once_and_changed_ones_again(
    there: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(watcher: Recorder) -> tuple[int, int]:
        last = watcher.events[-1]
        assert isinstance(last, Work)
        return last.done, last.bytes

    monkeypatch.setattr(s3, "PAGE_KEYS", 100)
    uri = f"s3://{request.getfixturevalue(there)}/photos"
    store = open_store(uri)
    content = {f"{('cat', 'dög é', 'a+b/c')[i % 3]}/{i:03d}.jpg": f"{i}".encode() * i for i in range(300)}
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(store.put_bytes, content.keys(), content.values()))
    watcher = Recorder()
    assert tree(pull(uri, watcher)) == content
    assert fetched(watcher) == (300, sum(map(len, content.values())))
    store.put_bytes("cat/000.jpg", b"new!")
    store.delete("cat/003.jpg")
    store.put_bytes("owl.jpg", b"owl")
    del content["cat/003.jpg"]
    assert tree(pull(uri, watcher)) == {**content, "cat/000.jpg": b"new!", "owl.jpg": b"owl"}
    assert fetched(watcher) == (2, len(b"new!owl"))


@pytest.mark.s3
def test_class_folders_in_a_bucket_are_scanned(bucket: str, s3_client: Any) -> None:
    for key in ("set/train/cat/1.jpg", "set/train/dog é/a b.jpg", "set/val/cat/2.jpg", "settle/x/1.jpg"):
        s3_client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    manifest = scan(f"s3://{bucket}/set/")
    assert manifest.root == f"s3://{bucket}/set/"
    assert [(s.key, s.label, s.split) for s in manifest.samples] == [
        ("train/cat/1.jpg", "cat", "train"),
        ("train/dog é/a b.jpg", "dog é", "train"),
        ("val/cat/2.jpg", "cat", "val"),
    ]
    assert Path(manifest.samples[0].path).read_bytes() == b"set/train/cat/1.jpg"


@pytest.mark.s3
def test_of_a_manifest_in_a_bucket_only_the_listed_files_are_pulled(bucket: str, s3_client: Any) -> None:
    for key in ("a.jpg", "b.jpg", "large.bin"):
        s3_client.put_object(Bucket=bucket, Key=f"m/{key}", Body=b"x")
    s3_client.put_object(Bucket=bucket, Key="m/t.csv", Body=b"path,label\na.jpg,cat\nb.jpg,dog\n")
    manifest = scan(f"s3://{bucket}/m/t.csv")
    assert [sample.key for sample in manifest.samples] == ["a.jpg", "b.jpg"]
    assert not (Path(manifest.samples[0].path).parent / "large.bin").exists()
    s3_client.delete_object(Bucket=bucket, Key="m/b.jpg")
    with pytest.raises(DataError, match=r"(?s)1 paths without a file:.*'b.jpg'"):
        scan(f"s3://{bucket}/m/t.csv")


@pytest.mark.s3
@pytest.mark.parametrize("stream", [False, True])
def test_folder_markers_in_a_bucket_are_skipped_and_counted(bucket: str, s3_client: Any, stream: bool) -> None:
    for key in ("cat/1.jpg", "dog/1.jpg"):
        s3_client.put_object(Bucket=bucket, Key=f"set/{key}", Body=b"x")
    for key in ("set", "set/", "set/cat", "set/cat/", "set/dog_$folder$"):
        s3_client.put_object(Bucket=bucket, Key=key, Body=b"", ContentType="application/x-directory")
    watcher = Recorder()
    manifest = scan(f"s3://{bucket}/set", watcher, stream)
    assert [sample.key for sample in manifest.samples] == ["cat/1.jpg", "dog/1.jpg"]
    text = f"s3://{bucket}/set: skipped folder markers (empty objects): 4, such as '/', 'cat', 'cat/'"
    assert watcher.events[0] == Message(text)


@pytest.mark.s3
def test_archived_objects_are_counted_and_named_before_anything_is_pulled(bucket: str, s3_client: Any) -> None:
    for number, storage in enumerate(("STANDARD", "STANDARD_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")):
        s3_client.put_object(Bucket=bucket, Key=f"set/cat/{number} a.jpg", Body=b"x", StorageClass=storage)
    watcher = Recorder()
    expected = (
        rf"2 of 5 objects are archived \(DEEP_ARCHIVE, GLACIER\), such as\n  s3://{bucket}/set/cat/3 a.jpg\n.*4 a.jpg\n"
        rf"For each, restore it first \(aws s3api restore-object --bucket {bucket} --key 'set/cat/3 a.jpg' "
    )
    with pytest.raises(Archived, match=expected) as raised:
        pull(f"s3://{bucket}/set", watcher)
    assert raised.value.exit_code == 2
    assert watcher.events == []


@pytest.mark.s3
def test_an_archived_object_that_was_restored_is_pulled(bucket: str, s3_client: Any) -> None:
    s3_client.put_object(Bucket=bucket, Key="set/cat/1.jpg", Body=b"x", StorageClass="GLACIER")
    s3_client.restore_object(Bucket=bucket, Key="set/cat/1.jpg", RestoreRequest={"Days": 7})
    for _ in range(3):  # moto restores an object upon HEAD requests
        s3_client.head_object(Bucket=bucket, Key="set/cat/1.jpg")
    assert tree(pull(f"s3://{bucket}/set")) == {"cat/1.jpg": b"x"}
