"""Indexing shards that stay in their store leaves nothing but the index on this node."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from raytl.data.formats import shards
from raytl.errors import StoreError
from raytl.events import ignore
from raytl.store.drafts import sweep
from raytl.store.memory import MemoryStore


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for number, label in enumerate(("cat", "dog")):
            for name, body in ((f"{number}.jpg", b"photo"), (f"{number}.cls", label.encode())):
                member = tarfile.TarInfo(name)
                member.size = len(body)
                tar.addfile(member, io.BytesIO(body))
    store = MemoryStore(str(tmp_path))
    store.put_bytes("train-0.tar", content.getvalue())
    return store


def test_a_shard_is_removed_once_it_is_indexed_also_one_of_a_killed_process(
    store: MemoryStore, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, real = own_cache / "shards", shards._read_index
    leftover = folder / ".0badcafe.tar.0badcafe.tmp"
    leftover.mkdir(parents=True)
    (leftover / "shard.tar").write_bytes(b"whole")

    def read(shard: Path, where: str) -> shards._Index:
        assert not leftover.exists()
        assert sweep(folder, deep=False) == [], "another process starts"
        return real(shard, where)

    monkeypatch.setattr(shards, "_read_index", read)
    manifest = shards.scan(store, list(store.list()), [], store.uri, ignore)
    assert [sample.label for sample in manifest.samples] == ["cat", "dog"]
    assert [path.suffix for path in folder.iterdir()] == [".json"]


def test_a_shard_that_is_replaced_after_the_listing_is_not_indexed(store: MemoryStore, own_cache: Path) -> None:
    listed = list(store.list())
    content = store.get_bytes("train-0.tar")
    store.put_bytes("train-0.tar", content.replace(b"cat", b"cow"))
    with pytest.raises(StoreError, match="train-0.tar: was replaced after the listing"):
        shards.scan(store, listed, [], store.uri, ignore)
    assert list((own_cache / "shards").iterdir()) == []
