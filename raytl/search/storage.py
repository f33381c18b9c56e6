"""Where Optuna keeps a study: a journal that is only appended to, SQLite, or a database that is there."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock, get_lock_file

from raytl.config.schema import SearchConfig
from raytl.errors import ConfigError
from raytl.run.journal import append_lines


def open_storage(folder: Path, search: SearchConfig) -> BaseStorage:
    """The storage that `search.storage` names; a journal or SQLite file lies in `folder`.

    Raises:
        ConfigError: the database cannot be opened.
    """
    if search.storage == "journal":
        path = str(folder / "study.log")
        return JournalStorage(_WholeLines(path, lock_obj=_KernelLock(f"{path}.lock")))
    url = f"sqlite:///{folder / 'study.db'}" if search.storage == "sqlite" else search.storage
    try:
        return RDBStorage(url)
    except Exception as error:  # SQLAlchemy, its drivers and the driver's imports each have their own
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(
            f"search.storage: {search.storage} cannot be opened: {reason}\n"
            "  Expected journal, sqlite, or the URL of a database that is there, such as mysql+pymysql://user@host/db."
        ) from error


class _WholeLines(JournalFileBackend):
    """Optuna's journal, but a line that a full disk or a death cut short is taken out before the next one is added."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add the logs, one a line: all of them or none."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with get_lock_file(self._lock):
            append_lines(self._file_path, lines.encode())


class _KernelLock(BaseJournalFileLock):
    """A lock that the kernel lets go of when its process dies: Optuna's own would stay for ever."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: Any = None

    def acquire(self) -> bool:
        """Wait until it is ours."""
        self._file = Path(self._path).open("a")  # noqa: SIM115 - closed by release
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Let go."""
        self._file.close()
