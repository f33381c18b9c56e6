"""What is added to a version after it was published: looks at its test split, and the evaluations, kept beside it."""

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
    """The reports of version `number`, and the folder on this node that they are worked on in."""

    registry: Registry
    number: int
    folder: Path
    s3: S3Settings = ENVIRONMENT
    _ledger: str = field(default=ABSENT, init=False)

    @property
    def store(self) -> ObjectStore:
        """Where they are kept, with a lease of their own: a look at a version's test split keeps no tick waiting."""
        return open_store(f"{self.registry.uri}/{self._prefix}".rstrip("/"), self.s3)

    @property
    def _prefix(self) -> str:
        return f"reports/{self.number:06d}/"

    def fetch(self) -> None:
        """Bring the ledger and the evaluations here, so that every look counts wherever it was taken."""
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
        """Store the ledger, in place of what was fetched, and the evaluations.

        Raises:
            RegistryError: somebody else looked at the test split meanwhile.
        """
        store, ledger = self.registry.store, self.folder / LEDGER
        if ledger.exists():
            try:
                self._ledger = retried(
                    lambda: store.put_bytes(self._prefix + LEDGER, ledger.read_bytes(), self._ledger)
                ).etag
            except Conflict as exc:
                raise RegistryError(
                    f"{self.registry.uri}: somebody else looked at the test split of version {self.number} in this moment; "
                    "run again, with --again"
                ) from exc
        for path in sorted((self.folder / EVALUATIONS).rglob("*")):
            if path.is_file():
                key = self._prefix + path.relative_to(self.folder).as_posix()
                retried(lambda path=path, key=key: store.put_file(path, key))  # type: ignore[misc]
