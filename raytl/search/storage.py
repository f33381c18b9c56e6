"""The storage of an Optuna study: an append-only journal, SQLite, or an existing database."""

from __future__ import annotations

import fcntl
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock, get_lock_file

from raytl.config.search import SearchConfig
from raytl.errors import ConfigError, RunError, first_line
from raytl.run.atomic import write_json
from raytl.run.journal import append_lines
from raytl.stored import Format
from raytl.stored.bounds import matching

STUDY_FILES = {"journal": "study.log", "sqlite": "study.db"}
"""The file of the study in the sweep's folder, by `search.storage`; a database elsewhere has none."""
_NAME = "study.json"
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, IndexError, AssertionError, RecursionError)


@dataclass(frozen=True, slots=True)
class StudySuffix:
    """The end of a study's name in a database."""

    suffix: Annotated[str, matching(r"[0-9a-f]{16}", "16 hexadecimal digits")]


SUFFIX_FORMAT = Format[StudySuffix](
    StudySuffix,
    "the end of a study's name",
    "Restore the file, or start over with --new (the old sweep is renamed, not deleted).",
    RunError,
)


def open_storage(folder: Path, search: SearchConfig) -> BaseStorage:
    """Open the storage that `search.storage` names; a journal or SQLite file lies in `folder`.

    Raises:
        ConfigError: the database cannot be opened.
    """
    if search.storage == "journal":
        path = str(folder / STUDY_FILES["journal"])
        return JournalStorage(_WholeLines(path, lock_obj=_KernelLock(f"{path}.lock")))
    url = f"sqlite:///{folder / STUDY_FILES['sqlite']}" if search.storage == "sqlite" else search.storage
    try:
        return RDBStorage(url)
    except Exception as error:  # SQLAlchemy, its drivers and the driver's imports each have their own
        raise ConfigError(
            f"search.storage: {search.storage} cannot be opened: {first_line(error)}\n"
            "  Expected journal, sqlite, or the URL of an existing database, such as mysql+pymysql://user@host/db."
        ) from error


def study_name(folder: Path, search: SearchConfig, sweep: str) -> str:
    """Return the name of the study of the `sweep` in `folder` in its storage.

    In a database, which sweeps of the same name may share, it ends in digits that `folder` keeps. A sweep that began without
    them keeps its plain name.

    Raises:
        RunError: the file of the digits is damaged.
    """
    path = folder / _NAME
    if search.storage in ("journal", "sqlite"):
        return sweep
    if not path.exists():
        if (folder / "experiment.yaml").exists():
            return sweep
        write_json(path, asdict(StudySuffix(secrets.token_hex(8))))
    return f"{sweep}-{SUFFIX_FORMAT.load(path).suffix}"


@contextmanager
def read_as_study(folder: Path) -> Iterator[None]:
    """Raise an error that names the study if its stored content cannot be read.

    Raises:
        RunError: it cannot be read.
    """
    try:
        yield
    except _DAMAGE as error:
        raise RunError(
            f"{folder / 'study.log'}: cannot be read as a study ({type(error).__name__}: {str(error)[:200]}); expected what "
            f"Optuna wrote. Restore the file, or start over with --new (the old sweep is renamed, not deleted)."
        ) from error


class _WholeLines(JournalFileBackend):
    """Optuna's journal that first removes a line which a full disk or a crash cut short, then appends."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append the logs, one per line: all of them or none."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with get_lock_file(self._lock):
            append_lines(self._file_path, lines.encode())


class _KernelLock(BaseJournalFileLock):
    """A lock that the kernel releases when its process dies; Optuna's own would stay for ever."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: Any = None

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._file = Path(self._path).open("a")  # noqa: SIM115 - closed by release
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Release the lock."""
        self._file.close()
