"""A version's files on this node: downloaded once, and checked against their digests at each use."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
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

_THREADS = 16


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


def _fetch(registry: Registry, record: Record, place: Path) -> None:
    def fetch(part: Path, name: str) -> None:
        if name.startswith("/") or ".." in name.split("/"):
            raise RegistryError(f"{registry.uri}: version {record.number} has a file {name!r} outside its folder")
        target = part / name
        target.parent.mkdir(parents=True, exist_ok=True)

        def download() -> None:
            registry.store.get_to_file(f"{FILES}{record.token}/{name}", target, record.files[name].bytes)
            if digest_of(target) != record.files[name].sha256:
                raise Unavailable(
                    f"{registry.uri}: {name} of version {record.number} is damaged (its sha256 differs from the published one); "
                    "publish the run again, or roll back"
                )

        retried(download, attempts=3)

    with drafted(place, folder=True) as draft:
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(partial(fetch, draft), record.files))
        shutil.rmtree(place, ignore_errors=True)
        draft.rename(place)


def _damaged(place: Path, record: Record) -> bool:
    return any(
        not (place / name).is_file() or digest_of(place / name) != entry.sha256 for name, entry in record.files.items()
    )
