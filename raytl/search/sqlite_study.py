"""Read a study that Optuna stored in SQLite, as the lines of a journal. The file may come from anybody.

It is opened in memory, as https://www.sqlite.org/security.html advises for such files: no views, triggers or virtual tables,
no functions in its schema, and bounds on the length of values and on the work.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from raytl.errors import RunError

_MOST_VALUE_BYTES = 1 << 20
_MOST_TICKS, _INSTRUCTIONS = 50_000, 10_000
"""Virtual instructions of SQLite in all, counted in ticks: some seconds."""
_STATES = {"COMPLETE": 1, "PRUNED": 2}
_SETTINGS = ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "temp_store = MEMORY")
_NO_TABLES = "SELECT count(*) FROM sqlite_master WHERE type NOT IN ('table', 'index') OR sql LIKE 'create virtual%'"
_STUDY = "SELECT study_id, value_json FROM study_user_attributes WHERE key = 'raytl' ORDER BY study_id LIMIT 1"
_TRIALS = "SELECT trial_id, state FROM trials WHERE study_id = ? ORDER BY number LIMIT 10000"
_ATTRIBUTES = "SELECT key, value_json FROM trial_user_attributes WHERE trial_id = ? AND key IN ('overrides', 'best')"


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
            return b"".join(json.dumps(line).encode() + b"\n" for line in _lines(connection))
    except (sqlite3.Error, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise RunError(
            f"{where}: cannot be read as a study ({type(error).__name__}: {str(error)[:100]}); expected what Optuna wrote. "
            "Name another folder."
        ) from error


def _restrict(connection: sqlite3.Connection) -> None:
    ticks = iter(range(_MOST_TICKS))
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_VALUE_BYTES)
    connection.set_progress_handler(lambda: next(ticks, None) is None, _INSTRUCTIONS)
    for setting in _SETTINGS:
        connection.execute(f"PRAGMA {setting}")
    if connection.execute(_NO_TABLES).fetchone() != (0,):
        raise ValueError("it has views, triggers or virtual tables")


def _lines(connection: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    """Yield what the study and its ended trials hold; `earlier.read_study` checks the types."""
    study = connection.execute(_STUDY).fetchone()
    if study is None:
        raise ValueError("no study of raytl")
    yield {"op_code": 2, "user_attr": {"raytl": json.loads(study[1])}}
    for trial, state in connection.execute(_TRIALS, study[:1]):
        if state in _STATES:
            attributes = {key: json.loads(value) for key, value in connection.execute(_ATTRIBUTES, (trial,))}
            yield {"op_code": 8, "trial_id": trial, "user_attr": attributes}
            yield {"op_code": 6, "trial_id": trial, "state": _STATES[state]}
