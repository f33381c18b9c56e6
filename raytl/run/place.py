"""The folder of a run or sweep in any store; single files are read without fetching the rest."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from raytl.errors import RunError
from raytl.registry.reader import fetched
from raytl.registry.reference import is_reference
from raytl.registry.reports import Reports
from raytl.store.contract import ObjectStore
from raytl.store.open import open_store
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.stored import Format
from raytl.uris import is_remote

EXPERIMENT = "experiment.yaml"
_DEPTH = 6
T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """A run or sweep: its `key` in a store (empty for the store itself), and the names of the files in its folder.

    `root` is the store's URI as the user wrote it.
    """

    root: str
    store: ObjectStore
    key: str
    names: frozenset[str]

    @property
    def uri(self) -> str:
        """The URI of the run or sweep, a path for a folder on this machine."""
        return f"{self.root.rstrip('/')}/{self.key}".rstrip("/") or "/"

    @property
    def folder(self) -> Path | None:
        """The folder on this machine; None for a place in a bucket."""
        return None if is_remote(self.store.uri) else Path(self.store.uri, self.key)

    def has(self, name: str) -> bool:
        """Return whether the file exists, in this folder or one below it."""
        return name in self.names or (
            "/" in name and retried(lambda: self.store.exists(f"{self.key}/{name}".lstrip("/")))
        )

    def content(self, name: str, max_bytes: int) -> bytes:
        """Return the bytes of a file."""
        return retried(lambda: self.store.get_bytes(f"{self.key}/{name}".lstrip("/"), max_bytes=max_bytes + 1))

    def load(self, name: str, kind: Format[T]) -> T | None:
        """Return the value of a file; None if it does not exist."""
        if not self.has(name):
            return None
        return kind.read(self.content(name, kind.max_bytes), f"{self.uri}/{name}")


def places(uri: str, s3: S3Settings = ENVIRONMENT, depth: int = _DEPTH) -> Iterator[Place]:
    """Yield the outermost folders at or below `uri` that hold an experiment: runs and sweeps, but not trials.

    Of a folder on this machine, up to `depth` levels below it are searched, also through links; each folder is read once.

    Raises:
        RunError: `uri` is not a folder.
        StoreError: the bucket cannot be read.
    """
    store = open_store(uri, s3)
    if is_remote(store.uri):
        yield from _among(uri, store, (info.key for info in retried(lambda: list(store.list()))))
        return
    root = Path(store.uri)
    if not root.is_dir():
        raise RunError(f"{uri}: {'found a file' if root.exists() else 'no such folder'}; expected a folder with runs")
    seen: set[str] = set()
    for folder, below, files in os.walk(root, followlinks=True):
        key = Path(folder).relative_to(root)
        if (real := os.path.realpath(folder)) in seen:
            below.clear()
            continue
        seen.add(real)
        if EXPERIMENT in files:
            yield Place(uri, store, "" if folder == str(root) else key.as_posix(), frozenset(files))
        if EXPERIMENT in files or len(key.parts) >= depth:
            below.clear()


def place_of(run: str, s3: S3Settings = ENVIRONMENT) -> Place:
    """Return the run at a folder or URI, or the run that a version was made from (`models:trash@champion`).

    Raises:
        RunError: there is no run.
        StoreError: the bucket cannot be read.
    """
    uri = run
    if is_reference(run):
        registry, record, folder = fetched(run, s3=s3)
        Reports(registry, record, folder, s3).fetch()  # evaluations of a version are stored beside it
        uri = str(folder)
    place = next((place for place in places(uri, s3, depth=0) if not place.key), None)
    if place is None:
        raise RunError(
            f"{run}: no run is there, {EXPERIMENT} is missing; `raytl runs` lists the runs below a folder or URI"
        )
    return place


def _among(root: str, store: ObjectStore, keys: Iterable[str]) -> Iterator[Place]:
    """Yield the outermost folders that hold an experiment."""
    names: dict[str, set[str]] = {}
    for key in keys:
        folder, _, name = key.rpartition("/")
        names.setdefault(folder, set()).add(name)
    held = {folder for folder, files in names.items() if EXPERIMENT in files}
    for folder in sorted(held):
        parts = folder.split("/") if folder else []
        if not any("/".join(parts[:length]) in held for length in range(len(parts))):
            yield Place(root, store, folder, frozenset(names[folder]))
