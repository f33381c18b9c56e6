"""The test split is looked at once; whoever looks again has to say so."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from raytl.errors import RunError, TestLockedError
from raytl.run import ledger
from raytl.run.atomic import write_text
from raytl.run.folder import RunFolder
from raytl.run.ledger import LedgerEntry, exclusive_test_access, looks, unlock

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setattr(ledger, "user", lambda: "ana")
    return RunFolder(tmp_path)


def test_the_first_look_is_written_down(folder: RunFolder) -> None:
    entry = unlock(folder, "abc", now=NOW)
    assert entry == LedgerEntry(look=1, who="ana", when="2026-03-01T12:30:00+00:00", weights="abc")
    assert looks(folder) == [entry]
    assert entry.mark == ""


def _reported(folder: RunFolder, entry: LedgerEntry) -> LedgerEntry:
    write_text(entry.report_folder(folder) / "report.json", "{}")
    return entry


def test_a_look_without_a_report_is_finished_under_its_own_number(folder: RunFolder) -> None:
    entry = unlock(folder, "abc", now=NOW)
    assert unlock(folder, "abc", now=NOW + timedelta(days=1)) == entry
    assert unlock(folder, "abc", again=True, now=NOW + timedelta(days=1)) == entry
    assert looks(folder) == [entry]


def test_a_look_without_a_report_at_other_weights_is_a_look(folder: RunFolder) -> None:
    unlock(folder, "abc", now=NOW)
    with pytest.raises(TestLockedError, match="once already"):
        unlock(folder, "other", now=NOW)
    assert unlock(folder, "other", again=True, now=NOW).look == 2


def test_a_second_look_is_refused_and_says_who_looked_when_and_what_to_do(folder: RunFolder) -> None:
    _reported(folder, unlock(folder, "abcdef0123456789", now=NOW))
    expected = r"once already, last by ana on 2026-03-01T12:30:00\+00:00 with weights abcdef012345;.*\n.*--again .*'evaluation 2'"
    with pytest.raises(TestLockedError, match=expected):
        unlock(folder, "other", now=NOW)
    assert len(looks(folder)) == 1


def test_a_second_look_that_was_asked_for_is_marked(folder: RunFolder) -> None:
    _reported(folder, unlock(folder, "abc", now=NOW))
    assert _reported(folder, unlock(folder, "abc", again=True, now=NOW)).mark == "evaluation 2"
    with pytest.raises(TestLockedError, match="2 times already"):
        unlock(folder, "abc", now=NOW)


def test_many_looks_at_the_same_moment_are_recorded_as_one(folder: RunFolder) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert [entry.look for entry in pool.map(lambda _: unlock(folder, "abc", now=NOW), range(8))] == [1] * 8
    assert len(looks(folder)) == 1


def test_one_process_at_a_time_looks(folder: RunFolder) -> None:
    with (
        exclusive_test_access(folder),
        pytest.raises(RunError, match="another process is evaluating"),
        exclusive_test_access(folder),
    ):
        pass
    with exclusive_test_access(folder):
        pass


def test_an_edited_ledger_is_an_error(folder: RunFolder) -> None:
    folder.ledger.write_text('{"look": 1}\n')
    with pytest.raises(
        RunError, match=r"test_ledger\.jsonl:1: who: missing; expected a value\. The ledger was damaged or edited"
    ):
        looks(folder)
