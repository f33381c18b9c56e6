"""The test split is looked at once; whoever looks again has to say so."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raytl.errors import RunError, TestLockedError
from raytl.run import ledger
from raytl.run.folder import RunFolder
from raytl.run.ledger import LedgerEntry, looks, unlock

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


def test_a_second_look_is_refused_and_says_who_looked_when_and_what_to_do(folder: RunFolder) -> None:
    unlock(folder, "abcdef0123456789", now=NOW)
    expected = (
        r"once already, last by ana on 2026-03-01T12:30:00\+00:00 with weights abcdef012345;.*\n.*--again .*'look 2'"
    )
    with pytest.raises(TestLockedError, match=expected):
        unlock(folder, "other", now=NOW)
    assert len(looks(folder)) == 1


def test_a_second_look_that_was_asked_for_is_marked(folder: RunFolder) -> None:
    unlock(folder, "abc", now=NOW)
    assert unlock(folder, "abc", again=True, now=NOW).mark == "look 2"
    with pytest.raises(TestLockedError, match="2 times already"):
        unlock(folder, "abc", now=NOW)


def test_of_many_looks_at_the_same_moment_one_is_the_first(folder: RunFolder) -> None:
    def look(_: int) -> int:
        try:
            return unlock(folder, "abc", now=NOW).look
        except TestLockedError:
            return 0

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(look, range(8))) == [0] * 7 + [1]


def test_an_edited_ledger_is_an_error(folder: RunFolder) -> None:
    folder.ledger.write_text('{"look": 1}\n')
    with pytest.raises(RunError, match="the ledger was edited"):
        looks(folder)
