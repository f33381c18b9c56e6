"""Fenced writes: each carries its writer's lease generation, so a writer that lost its lease cannot overwrite a successor.

Source of the idea: fencing tokens, in Kleppmann, "How to do distributed locking", 2016. An object store does not
compare generations, so each write replaces exactly the object that was read, whose generation was not higher.

Not covered: a put in flight to a key that does not exist yet (a successor has nothing to replace there; `FENCE` tells
readers to ignore it), objects that are put without a condition or are not JSON, deletions, and any write to a store that
does not support conditional puts.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from functools import partial

from raytl.errors import Conflict, NotFound
from raytl.store.contract import ABSENT, ObjectInfo, ObjectStore
from raytl.store.retry import retried
from raytl.stored import Fault
from raytl.stored.document import parse

FENCE = "fence.json"
"""Holds the lowest generation that readers accept; each writer raises it after it has taken over the existing objects."""
_ATTEMPTS = 5
Pause = Callable[[float], None]


def put_fenced(
    store: ObjectStore,
    key: str,
    content: bytes,
    generation: int,
    expected: str | None = None,
    pause: Pause | None = None,
) -> ObjectInfo:
    """Store `content`, which contains `generation` and is unique, unless a higher generation is stored.

    With `expected`, replace only the object with that etag, or a late one of a lower generation.

    Raises:
        Conflict: a later generation took over, or another writer of this generation was first.
    """
    for _ in range(_ATTEMPTS):
        current, etag = _read(store, key, pause)
        if current == content:  # an earlier attempt whose response was lost
            return ObjectInfo(key, len(content), etag)
        _reject_higher(store, key, current, generation)
        if expected not in (None, etag) and generation_of(current) == generation:
            break
        try:
            return retried(partial(store.put_bytes, key, content, etag), pause=pause)
        except (Conflict, NotFound):  # just replaced, perhaps by this put if its response was lost
            continue
    raise Conflict(f"{store.uri}: {key!r} does not have the expected etag: another process wrote it first")


def raise_fence(store: ObjectStore, generation: int, pause: Pause | None = None) -> None:
    """Make readers ignore everything below `generation`.

    Raises:
        Conflict: a later generation took over.
    """
    content = json.dumps({"generation": generation, "writer": secrets.token_hex(6)}).encode()
    put_fenced(store, FENCE, content, generation, pause=pause)


def fence_of(store: ObjectStore, pause: Pause | None = None) -> int:
    """Return the lowest generation that a reader accepts."""
    return generation_of(_read(store, FENCE, pause)[0])


def generation_of(content: bytes) -> int:
    """Return the generation of a stored object's writer; 0 if it has none."""
    try:
        value = parse(content)
    except Fault:
        return 0
    generation = value.get("generation") if isinstance(value, dict) else None
    return generation if type(generation) is int and generation > 0 else 0


def _reject_higher(store: ObjectStore, key: str, stored: bytes, generation: int) -> None:
    if generation_of(stored) > generation:
        raise Conflict(
            f"{store.uri}: another raytl took over ({key!r} has generation {generation_of(stored)}, this process has "
            f"{generation}); nothing more was written. Run the same command again to resume."
        )


def _read(store: ObjectStore, key: str, pause: Pause | None) -> tuple[bytes, str]:
    """Return the object's bytes and an etag that is not newer than they are; no bytes and ABSENT if it does not exist."""
    try:
        etag = retried(lambda: store.stat(key), pause=pause).etag
        return retried(lambda: store.get_bytes(key), pause=pause), etag
    except NotFound:
        return b"", ABSENT
