"""Reports added to a published version, stored beside it: the ledger of its test set, and evaluations."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from raytl.errors import Conflict, RegistryError
from raytl.registry.registry import Registry
from raytl.store.contract import ABSENT, ObjectStore
from raytl.store.open import open_store
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

LEDGER, EVALUATIONS = "test_ledger.jsonl", "evaluation"
_REPORT_KEY = re.compile(rf"{EVALUATIONS}/\w[\w-]*/\w[\w.-]*", re.ASCII)


@dataclass
class Reports:
    """The reports of version `number`, with a working folder on this node."""

    registry: Registry
    number: int
    folder: Path
    s3: S3Settings = ENVIRONMENT
    _ledger: str = field(default=ABSENT, init=False)

    @property
    def store(self) -> ObjectStore:
        """The store of the reports, with its own lease: an evaluation on the test set does not block a tick."""
        return open_store(f"{self.registry.uri}/{self._prefix}".rstrip("/"), self.s3)

    @property
    def _prefix(self) -> str:
        return f"reports/{self.number:06d}/"

    def fetch(self) -> None:
        """Download the ledger and the evaluations, so that test set accesses from every machine count."""
        store = self.registry.store
        (self.folder / LEDGER).unlink(missing_ok=True)
        self._ledger = ABSENT
        for info in retried(lambda: list(store.list(self._prefix))):
            name = info.key.removeprefix(self._prefix)
            if name != LEDGER and not _REPORT_KEY.fullmatch(name):
                continue
            retried(lambda info=info, to=self.folder / name: store.get_to_file(info.key, to, info.size))  # type: ignore[misc]
            if name == LEDGER:
                self._ledger = info.etag

    def push(self) -> None:
        """Upload the ledger, replacing the one that was fetched, and the evaluations.

        Raises:
            RegistryError: another process accessed the test set meanwhile.
        """
        store, ledger = self.registry.store, self.folder / LEDGER
        if ledger.exists():
            try:
                self._ledger = retried(
                    lambda: store.put_bytes(self._prefix + LEDGER, ledger.read_bytes(), self._ledger)
                ).etag
            except Conflict as exc:
                raise RegistryError(
                    f"{self.registry.uri}: another process just accessed the test set of version {self.number}; run again with "
                    "--again"
                ) from exc
        for path in sorted((self.folder / EVALUATIONS).rglob("*")):
            if path.is_file():
                key = self._prefix + path.relative_to(self.folder).as_posix()
                retried(lambda path=path, key=key: store.put_file(path, key))  # type: ignore[misc]
