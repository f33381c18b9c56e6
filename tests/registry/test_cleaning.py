"""The versions that `gc` removes and keeps; a concurrent move wins."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from raytl.errors import RegistryError
from raytl.registry.cleaning import CleanupPlan, clean, cleanup_plan, plan_cleanup
from raytl.registry.record import CHAMPION, Move, Record
from raytl.registry.registry import Registry
from tests.registry.conftest import Publish, about

NOW = datetime(2026, 11, 21, tzinfo=UTC)
RECORDS = [Record(number, f"20261101T000000Z-{number}", about(), {}) for number in range(1, 9)]
HISTORY = [
    Move(n, "2026-11-02T00:00:00+00:00", "me", "", {CHAMPION: (n - 1 or None, n)}, {CHAMPION: n}) for n in range(1, 4)
]


@pytest.mark.parametrize(
    ("aliases", "needed", "keep", "removed"),
    [
        ({}, {}, 1, (1, 4, 5, 6, 7)),
        ({}, {}, 3, (4, 5)),
        ({CHAMPION: 5}, {}, 1, (1, 4, 6, 7)),
        ({CHAMPION: 5, "canary": 1}, {4: "needed by unfinished tick x"}, 1, (6, 7)),
        ({}, {}, 0, (1, 4, 5, 6, 7)),
    ],
)
def test_what_an_alias_a_tick_or_the_last_moves_need_is_kept(
    aliases: Mapping[str, int], needed: Mapping[int, str], keep: int, removed: tuple[int, ...]
) -> None:
    found = cleanup_plan(RECORDS, aliases, HISTORY, needed, keep, [], NOW)
    assert found.removed == removed
    assert set(found.kept) == {record.number for record in RECORDS} - set(removed)


def test_files_of_a_publication_that_died_go_after_a_day() -> None:
    tokens = ["20261119T000000Z-dead", "20261120T230000Z-young", RECORDS[0].token, "somebody's own folder"]
    assert cleanup_plan(RECORDS, {}, HISTORY, {}, 10, tokens, NOW).orphans == ("20261119T000000Z-dead",)


def test_what_is_cleaned_is_gone_and_the_rest_can_be_read(registry: Registry, publish: Publish) -> None:
    for text in ("one", "two", "three"):
        publish(text)
    registry.promote(2, registry.state(), "me", "")
    found = plan_cleanup(registry, 1, {})
    assert (found.removed, found.objects, found.size_bytes) == ((1,), 2, len("one") + len("name: x\n"))
    clean(registry, found)
    assert registry.numbers() == [2, 3]
    assert len(list(registry.store.list("files/"))) == 4
    assert publish("four").number == 4


def test_reports_and_bundles_go_with_their_version_and_those_of_versions_that_are_gone(
    registry: Registry, publish: Publish
) -> None:
    for text in ("one", "two", "three"):
        publish(text)
    added = [f"reports/{n:06d}/test_ledger.jsonl" for n in (1, 2, 3, 9)] + [
        f"bundles/{n:06d}/a/model.onnx" for n in (1, 2)
    ]
    for key in added:
        registry.store.put_bytes(key, b"12345")
    registry.withdraw(registry.record(1))  # as a cleanup that was interrupted left it
    found = plan_cleanup(registry, 1, {}, datetime(2100, 1, 1, tzinfo=UTC))
    assert (found.removed, found.leftovers, len(found.orphans)) == ((2,), (1,), 1)
    sizes = len("one") + len("two") + 2 * len("name: x\n") + 4 * len("12345")
    assert (found.objects, found.size_bytes) == (8, sizes)
    clean(registry, found)
    left = [info.key for prefix in ("bundles/", "reports/") for info in registry.store.list(prefix)]
    assert left == ["reports/000003/test_ledger.jsonl", "reports/000009/test_ledger.jsonl"]


def test_what_was_added_to_a_version_that_an_alias_names_is_kept() -> None:
    assert cleanup_plan(RECORDS[1:], {CHAMPION: 1}, [], {}, 1, [], NOW, added=[1, 2]).leftovers == ()
    assert cleanup_plan(RECORDS[1:], {}, [], {}, 1, [], NOW, added=[1, 2]).leftovers == (1,)


def test_a_version_that_becomes_champion_meanwhile_stays(registry: Registry, publish: Publish) -> None:
    publish(), publish()
    registry.promote(1, registry.state(), "me", "after it was planned")
    clean(registry, CleanupPlan(removed=(1,), orphans=(), kept={}))
    assert registry.record(registry.resolve(CHAMPION)).number == 1


@pytest.mark.parametrize("registry", ["memory"], indirect=True)
def test_an_alias_that_was_moved_to_what_goes_is_moved_back(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(), publish()
    registry.promote(2, registry.state(), "me", "")
    record, looks = registry.record, []

    def gone_after_the_first_look(number: int) -> Record:
        looks.append(number)
        if number == 1 and looks.count(1) == 2:
            registry.withdraw(record(1))
        return record(number)

    monkeypatch.setattr(registry, "record", gone_after_the_first_look)
    with pytest.raises(RegistryError, match="no version 1"):
        registry.promote(1, registry.state(), "me", "")
    assert registry.state().aliases == {CHAMPION: 2}
    assert registry.history()[-1].why == "undo of move 2"
