"""A version's files on this node: downloaded once, and checked against their digests at each use."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from raytl.errors import RegistryError, Unavailable
from raytl.events import OnEvent, ignore
from raytl.registry.record import Record
from raytl.registry.reference import reference
from raytl.registry.registry import FILES, Registry, digest_of
from raytl.store.cache import cache_root
from raytl.store.drafts import drafted
from raytl.store.pins import pin
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.stored.files import FileEntry

_THREADS = 16
LEDGER, EVALUATIONS = "test_ledger.jsonl", "evaluation"


def fetched(text: str, on_event: OnEvent = ignore, s3: S3Settings = ENVIRONMENT) -> tuple[Registry, Record, Path]:
    """Return the registry, the version and its folder on this node (laid out as a run) for a `models:...` reference.

    Raises:
        RegistryError: no such version or alias.
        StoreError: the store cannot be read, or returns bytes other than those published.
    """
    version = reference(text)
    registry = Registry.open(version.uri, on_event, s3)
    record = registry.record(registry.resolve(version.which))
    return registry, record, folder_of(registry, record)


def fixed(text: str, s3: S3Settings = ENVIRONMENT) -> str:
    """Return the reference to the same version by its number, which no later move of an alias changes.

    Raises:
        RegistryError: no such version or alias.
    """
    version = reference(text)
    return str(replace(version, which=str(Registry.open(version.uri, s3=s3).resolve(version.which))))


def folder_of(registry: Registry, record: Record) -> Path:
    """Return the folder on this node that has the version's files, complete and checked."""
    name = hashlib.sha256(f"{registry.uri}\0{record.token}".encode()).hexdigest()[:24]
    place = cache_root() / "pulled" / f"model-{name}"
    pin(place)
    with place.with_name(f".{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir() or _damaged(place, record):
            _fetch(registry, record, place)
    return place


def is_report(name: str) -> bool:
    """Return True for a file that evaluations of a version change: its ledger, or one of its reports."""
    return name == LEDGER or name.startswith(f"{EVALUATIONS}/")


def is_intact(path: Path, entry: FileEntry) -> bool:
    """Return True if the file at `path` is as published."""
    return path.is_file() and digest_of(path) == entry.sha256


def download(registry: Registry, record: Record, name: str, target: Path) -> None:
    """Download a file of a version as it was published.

    Raises:
        RegistryError: its name leads outside the folder of the version.
        StoreError: the store cannot be read, or returns other bytes.
    """
    if name.startswith("/") or ".." in name.split("/"):
        raise RegistryError(f"{registry.uri}: version {record.number} has a file {name!r} outside its folder")
    target.parent.mkdir(parents=True, exist_ok=True)

    def attempt() -> None:
        registry.store.get_to_file(f"{FILES}{record.token}/{name}", target, record.files[name].bytes)
        if not is_intact(target, record.files[name]):
            raise Unavailable(
                f"{registry.uri}: {name} of version {record.number} is damaged (its sha256 differs from the published one); "
                "publish the run again, or roll back"
            )

    retried(attempt, attempts=3)


def _fetch(registry: Registry, record: Record, place: Path) -> None:
    def fetch(part: Path, name: str) -> None:
        download(registry, record, name, part / name)

    with drafted(place, folder=True) as draft:
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(partial(fetch, draft), record.files))
        shutil.rmtree(place, ignore_errors=True)
        draft.rename(place)


def _damaged(place: Path, record: Record) -> bool:
    return any(not is_intact(place / name, entry) for name, entry in record.files.items() if not is_report(name))
