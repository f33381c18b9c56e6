"""One suite for every store."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from raytl.errors import NotFound
from raytl.store.contract import ObjectStore

ODD = ["a b/'c' \"d\".jpg", "é/ü.png", "plus+and%20&=?#.jpg"]


def put(store: ObjectStore, folder: Path, key: str, content: bytes) -> None:
    source = folder / "source"
    source.write_bytes(content)
    store.put_file(source, key)


def test_what_is_put_is_listed_and_got_back(store: ObjectStore, tmp_path: Path) -> None:
    for number, key in enumerate(ODD):
        put(store, tmp_path, key, b"x" * number)
    assert [(info.key, info.size) for info in store.list()] == [(k, ODD.index(k)) for k in sorted(ODD)]
    for number, key in enumerate(ODD):
        store.get_to_file(key, tmp_path / "out" / "file")
        assert (tmp_path / "out" / "file").read_bytes() == b"x" * number


def test_listing_is_by_prefix_of_the_key_and_empty_where_nothing_is(store: ObjectStore, tmp_path: Path) -> None:
    assert list(store.list()) == []
    for key in ("train/a", "train-2/a", "val/a"):
        put(store, tmp_path, key, b"1")
    assert [info.key for info in store.list("train/")] == ["train/a"]
    assert [info.key for info in store.list("train")] == ["train-2/a", "train/a"]


def test_the_etag_changes_with_the_bytes(store: ObjectStore, tmp_path: Path) -> None:
    etags = []
    for content in (b"one", b"two"):
        put(store, tmp_path, "k", content)
        etags += [info.etag for info in store.list()]
    assert len(set(etags)) == 2


def test_exists_is_about_the_exact_key(store: ObjectStore, tmp_path: Path) -> None:
    put(store, tmp_path, "folder/file", b"1")
    assert store.exists("folder/file")
    assert not store.exists("folder")
    assert not store.exists("folder/fil")


def test_a_key_that_is_not_there_is_not_found_and_leaves_no_file(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(NotFound, match=r"none\.jpg"):
        store.get_to_file("none.jpg", tmp_path / "out" / "file")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_store_travels_to_other_processes(store: ObjectStore) -> None:
    assert pickle.loads(pickle.dumps(store)) == store
