"""A conditional put whose response is lost is not taken for that of another writer."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.errors import Conflict
from raytl.store.conditional import put_over
from raytl.store.contract import ABSENT, ObjectInfo
from raytl.store.memory import MemoryStore


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return MemoryStore(str(tmp_path))


@pytest.fixture
def losing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store takes each put, and gets it again as its response is lost."""
    real = MemoryStore.put_bytes

    def put(self: MemoryStore, key: str, content: bytes, expected: str | None = None) -> ObjectInfo:
        real(self, key, content, expected)
        return real(self, key, content, expected)

    monkeypatch.setattr(MemoryStore, "put_bytes", put)


@pytest.mark.usefixtures("losing")
@pytest.mark.parametrize("before", [b"", b"one"])
def test_a_put_that_took_effect_at_its_first_attempt_succeeds(store: MemoryStore, before: bytes) -> None:
    expected = store.put_bytes("key", before).etag if before else ABSENT
    assert put_over(store, "key", b"two", expected) == store.stat("key")
    assert store.get_bytes("key") == b"two"


@pytest.mark.parametrize("other", [b"other", b"longer than it", None])
def test_another_writer_is_a_conflict(store: MemoryStore, other: bytes | None) -> None:
    expected = store.put_bytes("key", b"first").etag
    if other is None:
        store.delete("key")
    else:
        store.put_bytes("key", other)
    with pytest.raises(Conflict, match="does not have the expected etag"):
        put_over(store, "key", b"twos!", expected)
    assert store.exists("key") == (other is not None)
