"""Read a study that Optuna stored in SQLite, as the lines of a journal. The file may come from anybody.

It is opened in memory, as https://www.sqlite.org/security.html advises for such files. Its schema may have tables and indexes
only, without generated columns, which could run functions. The length of values, the work and the result are bounded.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

from raytl.errors import RunError
from raytl.stored import Fault
from raytl.stored.document import parse_text

_MOST_VALUE_BYTES = 1 << 20
_MOST_BYTES = 32 << 20
"""Size of the lines in all: a damaged file may hold a value once and name it in each row."""
_MOST_TICKS, _INSTRUCTIONS = 5_000, 10_000
"""Virtual instructions of SQLite in all, counted in ticks: about a second."""
_STATES = {"COMPLETE": 1, "PRUNED": 2}
_SETTINGS = ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "temp_store = MEMORY")
_READ = ("study_user_attributes", "trials", "trial_user_attributes")
_NO_TABLES = (
    "SELECT count(*) FROM sqlite_master WHERE type NOT IN ('table', 'index') OR NOT (sql LIKE 'create table %' "
    "OR sql LIKE 'create index %' OR sql LIKE 'create unique index %')"
)
_STUDY = "SELECT study_id, value_json FROM study_user_attributes WHERE key = 'raytl' ORDER BY study_id LIMIT 1"
_TRIALS = "SELECT trial_id, state FROM trials WHERE study_id = ? ORDER BY number LIMIT 10000"
_ATTRIBUTES = (
    "SELECT key, value_json FROM trial_user_attributes WHERE trial_id = ? AND key IN ('overrides', 'best') LIMIT 2"
)


def journal_of(database: bytes, where: str) -> bytes:
    """Return the first study in `database` that raytl wrote, as lines of Optuna's journal; `where` names it in errors.

    Raises:
        RunError: it is damaged, or no study.
    """
    try:
        if not database:
            raise ValueError("it is empty")  # of which sqlite3 makes a MemoryError
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(database)
            _restrict(connection)
            return b"".join(_bounded(json.dumps(line).encode() + b"\n" for line in _lines(connection)))
    except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
        raise RunError(
            f"{where}: cannot be read as a study ({type(error).__name__}: {str(error)[:100]}); expected what Optuna wrote. "
            "Name another folder."
        ) from error


def _restrict(connection: sqlite3.Connection) -> None:
    ticks = iter(range(_MOST_TICKS))
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_VALUE_BYTES)
    connection.set_progress_handler(lambda: next(ticks, None) is None, _INSTRUCTIONS)
    for pragma in _SETTINGS:
        connection.execute(f"PRAGMA {pragma}")
    if connection.execute(_NO_TABLES).fetchone() != (0,):
        raise ValueError("it has views, triggers or virtual tables")
    for table in _READ:
        if any(column[-1] for column in connection.execute(f"PRAGMA table_xinfo({table})")):
            raise ValueError("it has generated columns")


def _bounded(lines: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for line in lines:
        size += len(line)
        if size > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES:,} bytes of trials")
        yield line


def _lines(connection: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    """Yield what the study and its ended trials hold; `earlier.read_study` checks the types."""
    study = connection.execute(_STUDY).fetchone()
    if study is None:
        raise ValueError("no study of raytl")
    yield {"op_code": 2, "user_attr": {"raytl": _value(study[1])}}
    for trial, state in connection.execute(_TRIALS, study[:1]):
        if state in _STATES:
            attributes = {key: _value(value) for key, value in connection.execute(_ATTRIBUTES, (trial,))}
            yield {"op_code": 8, "trial_id": trial, "user_attr": attributes}
            yield {"op_code": 6, "trial_id": trial, "state": _STATES[state]}


def _value(text: str) -> Any:
    try:
        return parse_text(text)
    except Fault as fault:
        raise ValueError(fault.observed) from fault
