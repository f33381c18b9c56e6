"""The record of a tick has the generation of its lease, and never replaces a later one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raytl.errors import Conflict
from raytl.events import Recorder
from raytl.retraining.changes import Changes
from raytl.retraining.policy import Train
from raytl.retraining.ticks import TICK_FORMAT, TICKS, Tick, last_tick, new_tick, read_tick, write_tick
from raytl.store.memory import MemoryStore

NOW = datetime(2026, 11, 28, 6, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return MemoryStore(str(tmp_path))


def tick(generation: int, hour: int = 6, last: Tick | None = None) -> Tick:
    decided = {"decision": Train(("new images",), None), "changes": Changes("s", None, {"a": 3})}
    return replace(new_tick(NOW.replace(hour=hour), "me", last), generation=generation, **decided)  # type: ignore[arg-type]


def test_a_tick_that_a_later_generation_resumed_cannot_be_written_by_the_earlier_one(
    store: MemoryStore,
) -> None:
    mine = tick(1)
    write_tick(store, mine)
    write_tick(store, replace(mine, generation=2, interruptions=1))
    with pytest.raises(Conflict, match=r"another raytl took over .* has generation 2, this process has 1"):
        write_tick(store, replace(mine, stage="trained", run="late"))
    found = last_tick(store)
    assert found is not None
    assert (found.generation, found.interruptions, found.stage) == (2, 1, "decided")


def test_a_tick_that_was_started_without_the_lease_is_ignored(store: MemoryStore) -> None:
    ours, late = tick(2, 6), tick(1, 7)
    write_tick(store, ours)
    write_tick(store, late)
    assert last_tick(store) == ours
    after = tick(3, 8, ours)
    write_tick(store, after)
    assert last_tick(store) == after


def test_a_tick_of_raytl_0_1_0_has_the_lowest_generation(store: MemoryStore) -> None:
    value = tick(1).to_json()
    del value["generation"]
    store.put_bytes(f"{TICKS}{value['id']}.json", json.dumps(value).encode())
    found = read_tick(store, f"{TICKS}{value['id']}.json")
    assert (found.generation, last_tick(store)) == (0, found)
    write_tick(store, replace(found, generation=1))


def test_a_tick_that_raytl_0_1_0_wrote_is_read_under_its_former_keys(store: MemoryStore) -> None:
    warnings = Recorder()
    content = Path(__file__).with_name("tick_0_1_0.json").read_bytes()
    key = f"{TICKS}{json.loads(content)['id']}.json"
    store.put_bytes(key, content)
    found = read_tick(store, key, warnings)
    assert found.changes is not None
    assert found.comparison is not None
    assert (found.changes.removed_classes, found.comparison.images, warnings.events) == (("green",), 400, [])
    written = found.to_json()
    assert {"contest", "vanished"}.isdisjoint(written | written["changes"])
    assert TICK_FORMAT.read(json.dumps(written).encode(), "") == found


def test_a_tick_after_one_of_a_clock_in_the_future_comes_later_and_has_its_own_time(store: MemoryStore) -> None:
    future = replace(new_tick(NOW.replace(year=2030), "me", None), stage="done")
    write_tick(store, future)
    after = replace(new_tick(NOW, "me", future), stage="done")
    write_tick(store, after)
    assert (after.started, after.id[:16]) == (NOW.isoformat(), "20301128T060001Z")
    assert last_tick(store) == after
    assert new_tick(NOW, "me", after).id[:16] == "20301128T060002Z"


def test_there_is_no_last_tick_before_the_first(store: MemoryStore) -> None:
    assert last_tick(store) is None
