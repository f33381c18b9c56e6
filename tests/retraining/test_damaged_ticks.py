"""An unreadable tick is warned about, and the next tick follows the newest readable one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from raytl.errors import RegistryError
from raytl.events import Message, Recorder
from raytl.retraining.changes import Changes
from raytl.retraining.policy import Train
from raytl.retraining.ticks import SKIPS, Tick, all_ticks, last_tick, new_tick, read_tick, versions_in_use, write_tick
from raytl.store.memory import MemoryStore


def tick(hour: int, **said: Any) -> Tick:
    made = new_tick(datetime(2026, 11, 1, hour, tzinfo=UTC), "me", None)
    return replace(made, stage="done", outcome="skip", looks=hour, trained=1, **said)


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    """Ticks at 6 and 7, and a skip at 8."""
    found = MemoryStore(f"memory://{tmp_path}/ticks")
    write_tick(found, tick(6))
    write_tick(found, tick(7))
    write_tick(found, tick(8), SKIPS)
    return found


def key_of(store: MemoryStore, hour: int) -> str:
    return next(info.key for info in store.list() if f"T{hour:02d}0000Z" in info.key)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"null", b'{"id": "x"}', b'{"id": NaN}', b"\xff"])
def test_the_next_tick_follows_the_newest_readable_one(store: MemoryStore, content: bytes) -> None:
    seen = Recorder()
    key = key_of(store, 7)
    store.put_bytes(key, content)
    last = last_tick(store, seen)
    assert last is not None
    assert last.looks == 6
    (event,) = seen.events
    assert isinstance(event, Message)
    assert event.text.startswith(f"ignored unreadable object: {store.uri}/{key}: ")
    assert event.text.endswith("restore it there, or delete it.")
    assert [each.looks for each in all_ticks(store, seen)] == [6, 8]
    assert new_tick(datetime(2026, 11, 2, tzinfo=UTC), "me", last).looks == 6


def test_with_no_tick_that_can_be_read_the_next_one_is_the_first(store: MemoryStore) -> None:
    for hour in (6, 7):
        store.put_bytes(key_of(store, hour), b"{")
    assert last_tick(store) is None


@pytest.mark.parametrize("key", ["ticks/README.md", "ticks/zzz.json", "ticks/20261101T090000Z-xx.json", "skips/.keep"])
def test_other_names_beside_the_ticks_are_ignored(store: MemoryStore, key: str) -> None:
    seen = Recorder()
    store.put_bytes(key, b"hello")
    last = last_tick(store, seen)
    assert last is not None
    assert last.looks == 7
    assert [each.looks for each in all_ticks(store, seen)] == [6, 7, 8]
    assert seen.events == []


def test_nothing_is_cleaned_while_the_newest_tick_cannot_be_read(store: MemoryStore) -> None:
    assert versions_in_use(store) == {1: "has the splits of all images so far"}
    store.put_bytes(key_of(store, 7), b"{")
    with pytest.raises(
        RegistryError, match=r"ticks/20261101T070000Z-\w+\.json: cannot be read as the record of a tick"
    ):
        versions_in_use(store)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": "20261101T000000Z-ab"}, "id: found 20261101T000000Z-ab; expected 20261101T070000Z"),
        ({"id": "../../x"}, r"id: found the text '../../x'; expected letters"),
        ({"started": "yesterday"}, "started: found the text 'yesterday'; expected a date and time"),
        ({"trained_at": "2026"}, "trained_at: found the text '2026'; expected a date and time"),
        ({"stage": "over"}, "stage: found the text 'over'; expected 'decided' or 'trained'"),
        ({"looks": -1}, "looks: found -1; expected a number from 0"),
        ({"decision": {"kind": "delete"}}, "decision.kind: found the text 'delete'; expected skip or train or search"),
        ({"stage": "decided", "decision": None}, "expected a tick with what its stage needs"),
        ({"stage": "compared"}, "expected a tick with what its stage needs"),
        ({"stage": "published", "version": 3}, "expected a tick with what its stage needs"),
    ],
)
def test_an_altered_tick_is_named_with_its_field(store: MemoryStore, change: dict[str, Any], problem: str) -> None:
    key = key_of(store, 7)
    store.put_bytes(key, json.dumps({**json.loads(store.get_bytes(key)), **change}).encode())
    with pytest.raises(RegistryError, match=problem):
        read_tick(store, key)


def test_a_decided_tick_is_resumed(store: MemoryStore) -> None:
    open_tick = replace(
        tick(9), stage="decided", outcome="", decision=Train(("new images",), 1), changes=Changes("s", 1)
    )
    write_tick(store, open_tick)
    assert last_tick(store) == open_tick
