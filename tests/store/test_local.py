"""Errors that only a folder can have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raytl.errors import StoreError
from raytl.store.local import LocalStore


@pytest.mark.parametrize("key", ["../up", "a/../../up", "/etc/passwd"])
def test_keys_that_leave_the_folder_are_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(StoreError, match="would lie outside the store"):
        LocalStore(tmp_path).get_to_file(key, tmp_path / "out", 1)


def test_names_that_are_not_utf8_are_listed(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).touch()
    assert [info.key for info in LocalStore(tmp_path).list()] == ["\udcff"]


def test_a_folder_at_the_key_is_an_error_that_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "store" / "k").mkdir(parents=True)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"'k': .*directory"):
        LocalStore(tmp_path / "store").put_file(tmp_path / "file", "k")
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["k"]


def test_the_draft_of_a_killed_process_is_not_listed_and_the_next_write_removes_it(tmp_path: Path) -> None:
    for name in ("a/.x.jpg.0badcafe.tmp", ".raytl-part-4711-0badcafe"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    store = LocalStore(tmp_path)
    assert list(store.list()) == []
    store.put_bytes("a/x.jpg", b"x")
    assert [info.key for info in store.list()] == ["a/x.jpg"]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [".raytl-part-lock", "x.jpg"]
