"""The contract that every store fulfills."""

from __future__ import annotations

import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raytl.errors import Conflict, NotFound, StoreError, TooLarge
from raytl.store.contract import ABSENT, ObjectStore

ODD = ["a b/'c' \"d\".jpg", "é/ü.png", "plus+and%20&=?#.jpg"]


def put(store: ObjectStore, folder: Path, key: str, content: bytes) -> None:
    source = folder / "source"
    source.write_bytes(content)
    store.put_file(source, key)


def test_put_objects_are_listed_and_read_back(store: ObjectStore, tmp_path: Path) -> None:
    for number, key in enumerate(ODD):
        put(store, tmp_path, key, b"x" * number)
    assert [(info.key, info.size) for info in store.list()] == [(k, ODD.index(k)) for k in sorted(ODD)]
    for number, key in enumerate(ODD):
        store.get_to_file(key, tmp_path / "out" / "file", number)
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
        store.get_to_file("none.jpg", tmp_path / "out" / "file", 1)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_store_can_be_pickled(store: ObjectStore) -> None:
    assert pickle.loads(pickle.dumps(store)) == store


def test_stat_is_the_listing_of_one_key(store: ObjectStore) -> None:
    put_info = store.put_bytes("folder/k", b"12345")
    assert [put_info] == list(store.list()) == [store.stat("folder/k")]
    for key in ("folder", "folder/none", "folder/k/none"):
        with pytest.raises(NotFound, match="folder"):
            store.stat(key)


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [(0, None, b"0123456789"), (3, None, b"3456789"), (0, 2, b"01"), (3, 4, b"3456"), (8, 9, b"89"), (2, 0, b""), (11, 1, b"")],
)  # fmt: skip
def test_a_range_is_those_bytes(store: ObjectStore, start: int, length: int | None, expected: bytes) -> None:
    store.put_bytes("k", b"0123456789")
    assert store.get_bytes("k", start, length) == expected


def test_reading_a_missing_key_is_not_found(store: ObjectStore) -> None:
    with pytest.raises(NotFound, match="none"):
        store.get_bytes("none")


def test_a_put_that_expects_nothing_there_is_refused_where_something_is(store: ObjectStore) -> None:
    store.put_bytes("k", b"first", expected=ABSENT)
    with pytest.raises(Conflict, match="k"):
        store.put_bytes("k", b"second", expected=ABSENT)
    assert store.get_bytes("k") == b"first"


def test_a_put_in_place_of_an_etag_is_refused_once_that_changed(store: ObjectStore) -> None:
    first = store.put_bytes("k", b"first").etag
    second = store.put_bytes("k", b"second", expected=first).etag
    with pytest.raises(Conflict, match="k"):
        store.put_bytes("k", b"third", expected=first)
    assert store.get_bytes("k") == b"second"
    assert store.stat("k").etag == second


def test_of_many_that_create_one_key_at_once_one_does(store: ObjectStore) -> None:
    def create(number: int) -> bool:
        try:
            store.put_bytes("k", str(number).encode(), expected=ABSENT)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(create, range(8)))
    assert sum(created) == 1 or not store.guards("k", store.get_bytes("k"))
    assert created[int(store.get_bytes("k"))]


def test_testing_for_conditional_puts_changes_nothing(store: ObjectStore) -> None:
    info = store.put_bytes("k", b"1")
    guards = store.guards("k", b"1")
    assert guards == store.guards("k", b"1")
    assert (store.get_bytes("k"), store.stat("k").size) == (b"1", info.size)
    assert [other.key for other in store.list()] == ["k"]


def test_a_large_file_and_its_copy_are_read_back(store: ObjectStore, tmp_path: Path) -> None:
    content = random.Random(0).randbytes(20 << 20)
    put(store, tmp_path, "large", content)
    store.copy("large", "copy")
    for key in ("large", "copy"):
        store.get_to_file(key, tmp_path / "out", len(content))
        assert (tmp_path / "out").read_bytes() == content
    assert store.get_bytes("large", len(content) - 3) == content[-3:]
    copied, large = store.list()
    assert large == store.stat("large")
    # Swift lists the copy by its MD5, and returns the ETag of the source's parts in its HEAD response
    assert (copied.key, copied.size) == ("copy", len(content))


def test_a_copy_has_the_same_bytes(store: ObjectStore) -> None:
    store.put_bytes("a b", b"1")
    store.copy("a b", "folder/c+d")
    assert (store.get_bytes("folder/c+d"), store.get_bytes("a b")) == (b"1", b"1")
    with pytest.raises(NotFound, match="none"):
        store.copy("none", "x")


def test_deleting_twice_is_not_an_error(store: ObjectStore) -> None:
    for key in ("k", "k2"):
        store.put_bytes(key, b"1")
    store.delete("k")
    store.delete("k")
    assert [info.key for info in store.list()] == ["k2"]


@pytest.mark.parametrize("listed", [0, 2, 4])
def test_an_object_that_is_not_as_large_as_it_was_listed_is_an_error_and_leaves_no_file(
    store: ObjectStore, tmp_path: Path, listed: int
) -> None:
    put(store, tmp_path, "k", b"abc")
    (tmp_path / "out").mkdir()
    with pytest.raises(StoreError, match=r"k: holds .* listed|k: holds 3 bytes, but was listed with"):
        store.get_to_file("k", tmp_path / "out" / "file", listed)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_object_that_was_replaced_after_the_listing_is_an_error_and_leaves_no_file(
    store: ObjectStore, tmp_path: Path
) -> None:
    store.put_bytes("k", b"abc")
    listed = next(iter(store.list()))
    (tmp_path / "out").mkdir()
    store.get_to_file("k", tmp_path / "out" / "file", 3, listed.etag)
    (tmp_path / "out" / "file").unlink()
    store.put_bytes("k", b"xyz")
    with pytest.raises(StoreError, match=r"k: was replaced after the listing\. Run again"):
        store.get_to_file("k", tmp_path / "out" / "file", 3, listed.etag)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_object_larger_than_the_caller_allows_is_too_large(store: ObjectStore, tmp_path: Path) -> None:
    put(store, tmp_path, "k", b"abc")
    assert store.get_bytes("k", max_bytes=3) == b"abc"
    with pytest.raises(TooLarge, match=r"k: holds more than 2 bytes; expected at most 2"):
        store.get_bytes("k", max_bytes=2)
