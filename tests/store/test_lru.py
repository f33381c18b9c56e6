"""Eviction takes the least recently used entries, and never those in use."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.store.lru import Entry, evict

ENTRIES = [Entry(Path("new"), 10, 3.0), Entry(Path("old"), 20, 1.0), Entry(Path("middle"), 30, 2.0)]


@pytest.mark.parametrize(
    ("limit", "evicted"),
    [(60, []), (59, ["old"]), (40, ["old"]), (39, ["old", "middle"]), (0, ["old", "middle", "new"])],
)
def test_the_least_recently_used_are_evicted_until_the_rest_fits(limit: int, evicted: list[str]) -> None:
    assert [entry.path.name for entry in evict(ENTRIES, lambda total: total <= limit, lambda _: True)] == evicted


def test_an_entry_in_use_stays_and_the_next_one_goes() -> None:
    evicted = evict(ENTRIES, lambda total: total <= 45, lambda path: path.name != "old")
    assert [entry.path.name for entry in evicted] == ["middle"]


def test_no_entry_is_touched_once_the_rest_fits() -> None:
    evict(ENTRIES, lambda _: True, lambda path: pytest.fail(f"{path} was touched"))
