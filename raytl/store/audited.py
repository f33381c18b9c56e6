"""Tell whether this node's copies of objects are those that a run's driver audited.

The driver's node has the audited files themselves. On another node, a set of samples is current if its objects were fetched by
their digests, or listed for it, and no pull has changed a file since: an empty file `<place>/fetched/<name>` says so.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from raytl.store.cache import cache_root
from raytl.store.pulled import Place


def identify_cache() -> None:
    """Give the folder of this node's pulled data an ID, unless it has one."""
    os.close(os.open(_id_file(), os.O_CREAT | os.O_CLOEXEC, 0o666))


def audited_name() -> str:
    """Return a name for the data that this process has audited on its node, to send to workers."""
    return f"{_cache_id()}.{secrets.token_hex(8)}"


def is_audited_here(name: str) -> bool:
    """Return whether the driver that sent `name` audited the files of this node, or of a cache folder that it shares."""
    own = _cache_id()
    return bool(own) and name.startswith(f"{own}.")


def mark(places: Iterable[Place], names: Sequence[str]) -> None:
    """Record that the files of the sets of samples `names` are current, until a pull changes a file; an empty name is no set."""
    for place in places:
        place.fetched.mkdir(exist_ok=True)
        for name in filter(None, names):
            (place.fetched / name).touch()


def are_marked(places: Iterable[Place], names: Sequence[str]) -> bool:
    """Return whether each place has the current files of one of these sets of samples."""
    return all(any((place.fetched / name).exists() for name in names if name) for place in places)


def _cache_id() -> str:
    """Return the ID of the folder of pulled data, the same on all nodes that share it; empty if nothing was pulled."""
    with suppress(FileNotFoundError):
        status = _id_file().stat()
        return f"{status.st_ino:x}-{status.st_mtime_ns:x}"
    return ""


def _id_file() -> Path:
    """Return the empty file whose inode and time of creation identify its folder."""
    return cache_root() / "pulled" / ".id"
