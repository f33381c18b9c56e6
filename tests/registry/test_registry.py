"""Versions are complete or absent, numbers are given once, and aliases move from the state seen or not at all."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raytl.errors import RegistryError, StoreError
from raytl.registry.record import CHAMPION, PREVIOUS
from raytl.registry.registry import Registry
from raytl.store.memory import MemoryStore
from tests.registry.conftest import Publish, about, on_a_bucket_too


def test_versions_are_numbered_in_the_order_of_their_publication(registry: Registry, publish: Publish) -> None:
    assert registry.numbers() == []
    assert [publish(text).number for text in ("one", "two", "three")] == [1, 2, 3]
    assert registry.record(2).about == about()
    assert [record.number for record in registry.records()] == [1, 2, 3]


def test_a_missing_version_is_an_error_that_lists_the_newest_ones(registry: Registry, publish: Publish) -> None:
    publish()
    with pytest.raises(RegistryError, match="no version 7; the newest versions: 1"):
        registry.record(7)
    with pytest.raises(RegistryError, match="no alias 'champion'; the aliases: none yet"):
        registry.resolve(CHAMPION)


@on_a_bucket_too
def test_of_many_that_publish_at_once_each_has_a_number_of_its_own(
    registry: Registry, several_at_once: Callable[[], None], tmp_path: Path
) -> None:
    several_at_once()
    for number in range(4):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "model").write_text(str(number))
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: registry.publish(tmp_path / str(n), about(run=str(n))), range(4)))
    assert sorted(record.number for record in made) == registry.numbers() == [1, 2, 3, 4]
    assert all(registry.record(record.number) == record for record in made)


def test_a_promotion_and_its_rollback_are_one_move_each_and_stay_on_record(
    registry: Registry, publish: Publish
) -> None:
    publish(), publish()
    registry.promote(1, registry.state(), "me", "the first")
    registry.promote(2, registry.state(), "me", "better")
    assert registry.state().aliases == {CHAMPION: 2, PREVIOUS: 1}
    registry.rollback("you", "it fails on wet cardboard")
    assert registry.state().aliases == {CHAMPION: 1, PREVIOUS: 2}
    moves = [(move.number, move.who, move.why, dict(move.moved)) for move in registry.history()]
    assert moves == [
        (1, "me", "the first", {CHAMPION: (None, 1)}),
        (2, "me", "better", {CHAMPION: (1, 2), PREVIOUS: (None, 1)}),
        (3, "you", "it fails on wet cardboard", {CHAMPION: (2, 1), PREVIOUS: (1, 2)}),
    ]


def test_there_is_no_rollback_without_a_previous_one(registry: Registry, publish: Publish) -> None:
    publish()
    registry.promote(1, registry.state(), "me", "the first")
    with pytest.raises(RegistryError, match="no previous champion to roll back to"):
        registry.rollback("me", "")


def test_an_alias_that_moved_since_it_was_read_is_not_moved(registry: Registry, publish: Publish) -> None:
    publish(), publish(), publish()
    registry.promote(1, registry.state(), "me", "the first")
    seen = registry.state()
    registry.promote(2, seen, "you", "by hand")
    with pytest.raises(RegistryError, match=r"champion is now version 2 \(you, .*: by hand\), but was 1"):
        registry.promote(3, seen, "me", "decided on 1")
    assert registry.state().champion == 2
    registry.move({"canary": 3}, seen, "me", "another alias")
    assert registry.state().aliases == {CHAMPION: 2, PREVIOUS: 1, "canary": 3}


@on_a_bucket_too
def test_of_many_that_move_one_alias_at_once_one_does(
    registry: Registry, publish: Publish, several_at_once: Callable[[], None]
) -> None:
    for _ in range(4):
        publish()
    registry.promote(1, registry.state(), "me", "the first")
    seen = registry.state()
    several_at_once()

    def move(number: int) -> bool:
        try:
            registry.move({CHAMPION: number}, seen, f"me {number}", "at once")
        except RegistryError:
            return False
        return True

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(move, [2, 3, 4])) == 1
    assert len(registry.history()) == 2


def test_an_alias_cannot_name_what_is_not_there(registry: Registry, publish: Publish) -> None:
    publish()
    with pytest.raises(RegistryError, match="no version 2"):
        registry.promote(2, registry.state(), "me", "")
    assert registry.history() == []


def test_an_alias_can_be_taken_away(registry: Registry, publish: Publish) -> None:
    publish()
    registry.move({"canary": 1}, registry.state(), "me", "")
    registry.move({"canary": None}, registry.state(), "me", "")
    assert registry.state().aliases == {}


class Dying(MemoryStore):
    """A store whose user dies at a given write."""

    __slots__ = ()
    left = 0

    def _write(self) -> None:
        Dying.left -= 1
        if Dying.left < 0:
            raise KeyboardInterrupt

    def put_bytes(self, key: str, content: bytes, expected: str | None = None):  # type: ignore[no-untyped-def]
        self._write()
        return MemoryStore.put_bytes(self, key, content, expected)

    def put_file(self, path: Path, key: str) -> None:
        MemoryStore.put_bytes(self, key, path.read_bytes())


@pytest.mark.parametrize("registry", ["memory"], indirect=True)
def test_who_dies_while_publishing_leaves_no_version(registry: Registry, publish: Publish) -> None:
    publish()
    assert isinstance(registry.store, MemoryStore)
    Dying.left = 0
    with pytest.raises(KeyboardInterrupt):
        publish("two", into=Registry(Dying(registry.store.name)))
    assert registry.numbers() == [1]
    assert publish("three").number == 2


@pytest.mark.parametrize("registry", ["memory"], indirect=True)
def test_a_publication_whose_answer_was_lost_is_not_done_twice(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raytl.errors import Unavailable

    put, lost = MemoryStore.put_bytes, iter([True])

    def losing(self: MemoryStore, key: str, content: bytes, expected: str | None = None):  # type: ignore[no-untyped-def]
        made = put(self, key, content, expected)
        if key.startswith("versions/") and next(lost, False):
            raise Unavailable("no answer")
        return made

    monkeypatch.setattr(MemoryStore, "put_bytes", losing)
    monkeypatch.setattr("raytl.store.retry.time.sleep", lambda _: None)
    assert publish().number == 1
    assert registry.numbers() == [1]


def test_a_store_that_cannot_be_written_is_an_error(tmp_path: Path, publish: Publish) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreError, match="file"):
        publish(into=Registry.open(str(tmp_path / "file" / "models")))


def later(registry: Registry, generation: int) -> Registry:
    """Return the registry as a tick of that generation has it."""
    made = Registry(registry.store)
    made.generation = generation
    return made


def test_moves_and_versions_hold_the_generation_of_the_lease_they_were_made_in(
    registry: Registry, publish: Publish
) -> None:
    tick = later(registry, 3)
    assert publish(into=tick).generation == 3
    assert tick.promote(1, tick.state(), "me", "the first").generation == 3
    assert publish().generation == 0
    registry.promote(2, registry.state(), "you", "by hand")
    assert registry.state().generation == 3, "a move by hand takes no lease, and lowers nothing"
    assert [record.generation for record in registry.records()] == [3, 0]


def test_a_tick_of_an_earlier_generation_moves_and_publishes_nothing(registry: Registry, publish: Publish) -> None:
    late, tick = later(registry, 3), later(registry, 4)
    publish(into=late)
    seen = late.state()
    publish(into=tick)
    tick.move({"canary": 2}, tick.state(), "me", "")
    with pytest.raises(RegistryError, match=r"another raytl took over \(generation 4, this process has 3\)"):
        late.promote(1, seen, "me", "decided before")
    with pytest.raises(RegistryError, match="another raytl took over"):
        publish(into=late)
    assert registry.state().aliases == {"canary": 2}
    assert registry.numbers() == [1, 2]
