"""Reports added to a published version, stored beside it: the ledger of its test set, and evaluations."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

from raytl.errors import Conflict, NotFound, RegistryError
from raytl.registry.reader import EVALUATIONS, LEDGER, download, is_intact, is_report
from raytl.registry.record import Record
from raytl.registry.registry import FILES, Registry
from raytl.store.conditional import put_over
from raytl.store.contract import ABSENT, ObjectStore
from raytl.store.open import open_store
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.stored import Format
from raytl.stored.bounds import Name, at_most, within

_REPORT_KEY = re.compile(rf"{EVALUATIONS}/\w[\w-]*/\w[\w.-]*", re.ASCII)
_WHOLE = f"{EVALUATIONS}/report/"
"""The folder of `raytl report`: a report replaces all files of an earlier one."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file as it was fetched: its etag in the store, its size, and the time of its last change here; -1 = not here."""

    etag: Name
    size: Annotated[int, within(-1, 2**53)]
    modified_ns: int


MEMORY_FORMAT = Format[Mapping[str, Fetched]](
    Annotated[Mapping[Name, Fetched], at_most(100_000, "files")],
    "the reports that were fetched",
    "Delete it.",
    RegistryError,
)


@dataclass
class Reports:
    """The reports of the version of `record`, with a working folder on this node.

    A version that was evaluated before it was published has its ledger and reports in its files; those added later are stored
    beside it, and replace files of the same name. `raytl report` replaces its whole folder.
    """

    registry: Registry
    record: Record
    folder: Path
    s3: S3Settings = ENVIRONMENT
    _ledger: str = field(default=ABSENT, init=False)

    @property
    def number(self) -> int:
        """The number of the version."""
        return self.record.number

    @property
    def store(self) -> ObjectStore:
        """The store of the reports, with its own lease: an evaluation on the test set does not block a tick."""
        return open_store(f"{self.registry.uri}/{self._prefix}".rstrip("/"), self.s3)

    @property
    def _prefix(self) -> str:
        return f"reports/{self.number:06d}/"

    def fetch(self) -> None:
        """Download the ledger and the evaluations, so that test set accesses from every machine count; of evaluations, those that
        changed since the last time."""
        store = self.registry.store
        listed = {info.key.removeprefix(self._prefix): info for info in retried(lambda: list(store.list(self._prefix)))}
        added = {name: info for name, info in listed.items() if name == LEDGER or _REPORT_KEY.fullmatch(name)}
        previous, fetched = self._previous(), dict[str, Fetched]()
        for name, info in added.items():
            path = self.folder / name
            if previous.get(name) != _fetched(info.etag, path):
                retried(lambda info=info, to=path: store.get_to_file(info.key, to, info.size))  # type: ignore[misc]
            fetched[name] = _fetched(info.etag, path)
        self._ledger = added[LEDGER].etag if LEDGER in added else ABSENT
        if LEDGER not in added and LEDGER not in self.record.files:  # never sooner: another process may be reading it
            (self.folder / LEDGER).unlink(missing_ok=True)
        self._memory.write_text(json.dumps({name: asdict(each) for name, each in fetched.items()}))
        is_replaced = any(name.startswith(_WHOLE) for name in added)
        if is_replaced:
            for name in self._local(_WHOLE).keys() - added.keys():
                (self.folder / name).unlink()
        for name, entry in self.record.files.items():
            if not is_report(name) or name in added or (is_replaced and name.startswith(_WHOLE)):
                continue
            if not is_intact(self.folder / name, entry):
                download(self.registry, self.record, name, self.folder / name)

    @property
    def _memory(self) -> Path:
        return self.folder.with_name(f".{self.folder.name}.reports.json")

    def _previous(self) -> Mapping[str, Fetched]:
        """Return the files as they were fetched; none if that cannot be read, so that all are fetched again."""
        try:
            return MEMORY_FORMAT.load(self._memory)
        except RegistryError:
            return {}

    def has(self, name: str) -> bool:
        """Return True if a file is stored, with the version or beside it."""
        return name in self.record.files or self.store.exists(name)

    def push(self) -> None:
        """Upload the ledger, replacing the one that was fetched, and the evaluations.

        Raises:
            RegistryError: another process accessed the test set meanwhile.
        """
        store, ledger = self.registry.store, self.folder / LEDGER
        if ledger.exists():
            try:
                self._ledger = put_over(store, self._prefix + LEDGER, ledger.read_bytes(), self._ledger).etag
            except Conflict as exc:
                raise RegistryError(
                    f"{self.registry.uri}: another process just accessed the test set of version {self.number}; run again with "
                    "--again"
                ) from exc
        local = self._local(EVALUATIONS)
        for name, path in local.items():
            retried(lambda path=path, key=self._prefix + name: store.put_file(path, key))  # type: ignore[misc]
        if any(name.startswith(_WHOLE) for name in local):
            for info in retried(lambda: list(store.list(self._prefix + _WHOLE))):
                if info.key.removeprefix(self._prefix) not in local:
                    retried(lambda key=info.key: store.delete(key))  # type: ignore[misc]

    def _local(self, below: str) -> dict[str, Path]:
        """Return the files on this node that are below a folder, by name."""
        paths = sorted((self.folder / below).rglob("*"))
        return {path.relative_to(self.folder).as_posix(): path for path in paths if path.is_file()}


def _fetched(etag: str, path: Path) -> Fetched:
    try:
        status = path.stat()
    except FileNotFoundError:
        return Fetched(etag, -1, -1)
    return Fetched(etag, status.st_size, status.st_mtime_ns)


def report_content(registry: Registry, record: Record, name: str, max_bytes: int) -> bytes | None:
    """Return a file of the reports of a version: the one that was added later, or the published one; None without it."""
    published = f"{FILES}{record.token}/{name}" if name in record.files else None
    for key in (f"reports/{record.number:06d}/{name}", published):
        with suppress(NotFound):
            if key is not None:
                return retried(lambda key=key: registry.store.get_bytes(key, max_bytes=max_bytes))  # type: ignore[misc]
    return None
