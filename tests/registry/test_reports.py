"""The ledger and the reports of a version on this node are those that are stored, also while other processes read them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raytl.registry.reader import LEDGER
from raytl.registry.registry import Registry
from raytl.registry.reports import Reports
from raytl.store.contract import ObjectInfo
from raytl.store.memory import MemoryStore
from tests.registry.conftest import Publish

STORED = f"reports/000001/{LEDGER}"


@pytest.fixture
def reports(tmp_path: Path, publish: Publish) -> Reports:
    """The reports of a version in memory, without any."""
    registry = Registry(MemoryStore(f"{tmp_path}/trash"))
    (tmp_path / "here").mkdir()
    return Reports(registry, publish(into=registry), tmp_path / "here")


@pytest.mark.parametrize("registry", ["memory"], indirect=True)
def test_the_ledger_stays_while_it_is_fetched_again(reports: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    store, ledger, there = reports.registry.store, reports.folder / LEDGER, list[bool]()
    store.put_bytes(STORED, b"1\n")
    reports.fetch()
    listing = MemoryStore.list

    def watched(self: MemoryStore, prefix: str = "", **options: Any) -> Iterator[ObjectInfo]:
        there.append(ledger.exists())
        yield from listing(self, prefix, **options)

    monkeypatch.setattr(MemoryStore, "list", watched)
    reports.fetch()
    assert there == [True] and ledger.read_bytes() == b"1\n"


@pytest.mark.parametrize("registry", ["memory"], indirect=True)
def test_a_look_that_was_never_stored_is_forgotten(reports: Reports) -> None:
    ledger = reports.folder / LEDGER
    ledger.write_bytes(b"1\n")
    reports.fetch()
    assert not ledger.exists()
    reports.registry.store.put_bytes(STORED, b"2\n")
    reports.fetch()
    ledger.write_bytes(b"2\n3\n")
    reports.fetch()
    assert ledger.read_bytes() == b"2\n"
