"""The exported models of a version: those published with its files, and those added later beside it.

A bundle is a folder of files whose card, `model.json`, has the digest of every other file. The card is uploaded last: its
presence means that the bundle is whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from raytl.errors import RegistryError
from raytl.registry.record import Record
from raytl.registry.registry import FILES, Registry
from raytl.store.retry import retried

BUNDLES = "bundles"
"""The folder of the bundles of a run, and of a version."""
CARD = "model.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
_THREADS = 8


def bundle_uris(registry: Registry, record: Record) -> Mapping[str, str]:
    """Return the URI of each bundle of a version by its name, sorted; one that was added later replaces a published one."""
    published = f"{FILES}{record.token}/{BUNDLES}/"
    names = {name.removeprefix(f"{BUNDLES}/") for name in record.files if name.startswith(f"{BUNDLES}/")}
    keys = {name: f"{published}{name}" for name in _whole(names)}
    added = bundles_prefix(record.number)
    listed = {info.key.removeprefix(added) for info in retried(lambda: list(registry.store.list(added)))}
    keys |= {name: f"{added}{name}" for name in _whole(listed)}
    return {name: f"{registry.uri}/{keys[name]}" for name in sorted(keys)}


def put_bundle(registry: Registry, record: Record, folder: Path, name: str, *, replace: bool = False) -> str:
    """Add the bundle in `folder` to a version, and return its URI.

    While one is replaced, the version has none of that name.

    Raises:
        RegistryError: the name is not one, there is such a bundle and `replace` is false, or the version was removed.
    """
    if not _NAME.fullmatch(name):
        raise RegistryError(f"bundle {name!r}: expected up to 100 of a-z, 0-9 and - as its name")
    where = f"{registry.uri}: version {record.number}"
    registry.record(record.number)
    if name in bundle_uris(registry, record) and not replace:
        raise RegistryError(f"{where} has a bundle {name!r}; remove it or replace it with --force")
    store, prefix = registry.store, f"{bundles_prefix(record.number)}{name}/"
    retried(lambda: store.delete(f"{prefix}{CARD}"))
    paths = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name != CARD]
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda path: retried(lambda: store.put_file(path, f"{prefix}{path.name}")), paths))
    registry.record(record.number)  # again: a version that was removed meanwhile gets no bundle
    retried(lambda: store.put_file(folder / CARD, f"{prefix}{CARD}"))
    return f"{registry.uri}/{prefix.rstrip('/')}"


def bundles_prefix(number: int) -> str:
    """Return the prefix of the bundles that were added to a version."""
    return f"{BUNDLES}/{number:06d}/"


def _whole(names: set[str]) -> Iterator[str]:
    """Yield the names of the bundles that have a card, of files `NAME/FILE`."""
    for each in names:
        name, _, file = each.partition("/")
        if file == CARD and _NAME.fullmatch(name):
            yield name
