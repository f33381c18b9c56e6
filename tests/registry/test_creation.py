"""An object is created once, even on a store that ignores conditional puts."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.errors import Conflict, Unavailable
from raytl.events import Message, Recorder
from raytl.registry import creation
from raytl.registry.creation import create_once
from raytl.registry.record import CHAMPION
from raytl.registry.registry import Registry
from raytl.store.contract import ABSENT
from raytl.store.memory import MemoryStore
from tests.registry.conftest import Publish


class Lax(MemoryStore):
    """A store that checks before it writes, but not atomically."""

    __slots__ = ()

    def guards(self, key: str, content: bytes) -> bool:
        return False


@pytest.fixture
def lax(tmp_path: Path) -> Lax:
    return Lax(str(tmp_path))


@pytest.mark.parametrize("answer_is_lost", [False, True])
@pytest.mark.parametrize("another_comes", [False, True])
def test_where_no_conditions_hold_who_put_last_has_it(
    lax: Lax, monkeypatch: pytest.MonkeyPatch, answer_is_lost: bool, another_comes: bool
) -> None:
    put, lost, waited = MemoryStore.put_bytes, iter([answer_is_lost]), []

    def losing(self: MemoryStore, key: str, content: bytes, expected: str | None = None):  # type: ignore[no-untyped-def]
        made = put(self, key, content, expected)
        if expected == ABSENT and next(lost, False):
            raise Unavailable("no answer")
        return made

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if another_comes and seconds >= creation.MAX_PUT_DELAY_S:
            put(lax, "key", b"another's")

    monkeypatch.setattr(MemoryStore, "put_bytes", losing)
    monkeypatch.setattr(creation.time, "sleep", wait)
    watcher = Recorder()
    assert create_once(lax, "key", b"mine", watcher) is not another_comes
    assert waited[-1] >= creation.MAX_PUT_DELAY_S
    [event] = watcher.events
    assert isinstance(event, Message)
    assert "ignores conditional puts" in event.text


@pytest.mark.parametrize("registry", ["memory"], indirect=True)
def test_a_registry_warns_of_that_once(lax: Lax, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creation.time, "sleep", lambda _: None)
    watcher = Recorder()
    found = Registry(lax, watcher)
    publish(into=found), publish(into=found)
    found.promote(2, found.state(), "me", "")
    assert len(watcher.events) == 1


def test_what_is_there_already_is_not_created_and_not_waited_for(lax: Lax) -> None:
    lax.put_bytes("key", b"another's")
    assert not create_once(lax, "key", b"mine")
    assert lax.get_bytes("key") == b"another's"


@pytest.mark.parametrize("another_fails", [False, True])
def test_a_conflict_with_a_put_that_is_under_way_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, another_fails: bool
) -> None:
    store, put, conflicts = MemoryStore(str(tmp_path)), MemoryStore.put_bytes, iter([True])

    def conflicting(self: MemoryStore, key: str, content: bytes, expected: str | None = None):  # type: ignore[no-untyped-def]
        if next(conflicts, False):
            raise Conflict("ConditionalRequestConflict")
        return put(self, key, content, expected)

    def wait(seconds: float) -> None:
        if not another_fails:
            put(store, "key", b"another's")

    monkeypatch.setattr(MemoryStore, "put_bytes", conflicting)
    monkeypatch.setattr(creation.time, "sleep", wait)
    assert create_once(store, "key", b"mine") is another_fails
    assert store.get_bytes("key") == (b"mine" if another_fails else b"another's")


@pytest.mark.parametrize("registry", ["memory"], indirect=True)
def test_moves_that_are_not_listed_yet_count_where_versions_are_removed(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(), publish(), publish()
    for number in (1, 2, 3):
        registry.promote(number, registry.state(), "me", "")
    real = MemoryStore.list
    late = ("moves/00000002.json", "moves/00000003.json")
    monkeypatch.setattr(
        MemoryStore, "list", lambda self, prefix="": (i for i in real(self, prefix) if i.key not in late)
    )
    assert registry.state().aliases == {CHAMPION: 1}
    assert registry.newest_state().aliases == {CHAMPION: 3, "previous": 2}
