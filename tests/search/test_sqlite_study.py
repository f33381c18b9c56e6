"""A study in SQLite is read as data: what raytl wrote, and nothing else."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from raytl.errors import RunError
from raytl.search.earlier import read_study
from raytl.search.sqlite_study import journal_of
from tests.search.test_earlier import METRIC, SAME, read
from tests.search.test_study import default_space, opened
from tests.search.test_study import run as run_study


def changed(path: Path, *statements: str) -> bytes:
    """Run SQL on the database and return its content."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path.read_bytes()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep in SQLite with five trials, some of them stopped."""
    folder = tmp_path_factory.mktemp("stored")
    study = opened(folder, storage="sqlite", trials=5)
    run_study(study)
    study.study.set_user_attr("raytl", {**study.study.user_attrs["raytl"], **SAME})
    (folder / "experiment.yaml").write_text("name: old\n")
    return folder


@pytest.fixture
def folder(stored: Path, tmp_path: Path) -> Path:
    """A copy of `stored`, for a test that changes it."""
    return Path(shutil.copytree(stored, tmp_path / "runs" / "old-sweep"))


def test_it_is_read_as_the_same_study_in_a_journal(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    run_study(opened(tmp_path / "journal", trials=5))
    journal = read_study((tmp_path / "journal" / "study.log").read_bytes(), "a", METRIC)
    study = read_study(journal_of((folder / "study.db").read_bytes(), "a"), "a", METRIC)
    assert study.trials == journal.trials and len(study.trials) == 5
    assert study.fixed == {**journal.fixed, **SAME}


def test_a_sweep_in_sqlite_is_used(folder: Path) -> None:
    earlier = read(folder.parent, space=default_space())
    assert (earlier.used, earlier.unused) == ("old-sweep (5)", "")


def test_a_sweep_whose_study_is_elsewhere_says_so(folder: Path) -> None:
    (folder / "study.db").unlink()
    (folder / "trials.json").write_text("{}")
    earlier = read(folder.parent)
    assert earlier.used == ""
    assert earlier.unused.startswith(
        "old-sweep (its study is in a database elsewhere; use search.storage: journal or sqlite"
    )


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("CREATE VIEW v AS SELECT 1", "views"),
        ("CREATE TRIGGER t AFTER INSERT ON trials BEGIN SELECT 1; END", "views"),
        ("CREATE VIRTUAL TABLE v USING fts5(x)", "virtual"),
        ("ALTER TABLE trials ADD COLUMN x TEXT AS (printf('%.1000c', 'a'))", "generated columns"),
        ("DROP TABLE trials", "no such table"),
        ("DELETE FROM study_user_attributes", "no study of raytl"),
        ("UPDATE trial_user_attributes SET value_json = '['", "is not JSON"),
        (f"UPDATE trial_user_attributes SET value_json = '{'[' * 100_000}'", "nested deeper"),
        ("UPDATE trial_user_attributes SET value_json = x'ff'", "Error"),
        ("UPDATE study_user_attributes SET value_json = printf('%.2000000c', '1')", "too big"),
    ],
)
def test_another_database_is_an_error(folder: Path, statement: str, reason: str) -> None:
    content = changed(folder / "study.db", statement)
    with pytest.raises(RunError, match=f"old: cannot be read as a study (.|\n)*{reason}"):
        journal_of(content, "old")


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"\xff" * 4096])
def test_what_is_no_database_is_an_error(content: bytes) -> None:
    with pytest.raises(RunError, match="old: cannot be read as a study"):
        journal_of(content, "old")


def test_a_damaged_page_is_an_error_or_leaves_valid_trials(folder: Path) -> None:
    content = bytearray((folder / "study.db").read_bytes())
    for place in range(4096, len(content), 97):
        content[place] ^= 0x55
    with pytest.raises(RunError, match="old: cannot be read as a study"):
        journal_of(bytes(content), "old")


def test_endless_work_is_cut(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.search.sqlite_study._MOST_TICKS", 0)
    monkeypatch.setattr("raytl.search.sqlite_study._INSTRUCTIONS", 10)
    with pytest.raises(RunError, match="interrupted"):
        journal_of((folder / "study.db").read_bytes(), "old")


def test_a_virtual_table_in_other_words_is_an_error(folder: Path) -> None:
    added = "INSERT INTO sqlite_master VALUES ('table', 'v', 'v', 0, 'CREATE/**/VIRTUAL TABLE v USING fts5(x)')"
    content = changed(folder / "study.db", "PRAGMA writable_schema = ON", added)
    with pytest.raises(RunError, match="virtual"):
        journal_of(content, "old")


def test_a_value_that_each_trial_repeats_does_not_fill_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (folder / "study.db").read_bytes()
    monkeypatch.setattr("raytl.search.sqlite_study._MOST_BYTES", len(journal_of(content, "old")) - 1)
    with pytest.raises(RunError, match="more than [0-9,]+ bytes of trials"):
        journal_of(content, "old")


def test_an_attribute_that_a_trial_has_many_times_is_read_twice_at_most(folder: Path) -> None:
    copy = "CREATE TABLE copy AS SELECT trial_id, key, value_json FROM trial_user_attributes"
    more = "INSERT INTO copy SELECT trial_id, 'best', '[' FROM copy"
    swap = ("DROP TABLE trial_user_attributes", "ALTER TABLE copy RENAME TO trial_user_attributes")
    content = changed(folder / "study.db", copy, more, *swap)
    assert len(journal_of(content, "old").splitlines()) == 11


def test_lines_are_json(folder: Path) -> None:
    lines = journal_of((folder / "study.db").read_bytes(), "old").splitlines()
    assert [json.loads(line)["op_code"] for line in lines] == [2, *[8, 6] * 5]
