"""Writes that carry the generation of their writer's lease, so that one who lost the lease cannot replace a successor's.

Source of the idea: fencing tokens, in Kleppmann, "How to do distributed locking", 2016. An object store compares no
generations, so each write is a put in place of exactly what was looked at, and what was looked at had no higher one.

What this cannot hold: a put that is already in flight while nothing is under its key yet (a successor has nothing to
replace there; `FENCE` tells readers to leave it out), objects that are put without a condition or are no JSON, deletions,
and anything at all where the store holds no conditions.
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
"""Holds the generation below which nothing is taken: each writer raises it once it has marked what it found as its own."""
_TRIES = 5
Pause = Callable[[float], None]


def put_fenced(
    store: ObjectStore,
    key: str,
    content: bytes,
    generation: int,
    expected: str | None = None,
    pause: Pause | None = None,
) -> ObjectInfo:
    """Store `content`, which holds `generation` and is like no other, unless a higher generation is there. With `expected`,
    the object of that etag is replaced, or one of a lower generation that came late, and nothing else.

    Raises:
        Conflict: a later generation took over, or somebody else of this one wrote there first.
    """
    for _ in range(_TRIES):
        there, etag = _found(store, key, pause)
        if there == content:  # an earlier attempt whose answer was lost
            return ObjectInfo(key, len(content), etag)
        _refuse_higher(store, key, there, generation)
        if expected not in (None, etag) and generation_of(there) == generation:
            break
        try:
            return retried(partial(store.put_bytes, key, content, etag), pause=pause)
        except (Conflict, NotFound):  # it was replaced in this moment, perhaps by this very put, whose answer was lost
            continue
    raise Conflict(f"{store.uri}: {key!r} is not what was to be replaced: somebody else wrote there first")


def raise_fence(store: ObjectStore, generation: int, pause: Pause | None = None) -> None:
    """Have readers take nothing below `generation` any more.

    Raises:
        Conflict: a later generation took over.
    """
    content = json.dumps({"generation": generation, "writer": secrets.token_hex(6)}).encode()
    put_fenced(store, FENCE, content, generation, pause=pause)


def fence_of(store: ObjectStore, pause: Pause | None = None) -> int:
    """Return the generation below which a reader takes nothing."""
    return generation_of(_found(store, FENCE, pause)[0])


def generation_of(content: bytes) -> int:
    """Return the generation of whoever wrote a stored object; 0 if it names none."""
    try:
        value = parse(content)
    except Fault:
        return 0
    found = value.get("generation") if isinstance(value, dict) else None
    return found if type(found) is int and found > 0 else 0


def _refuse_higher(store: ObjectStore, key: str, there: bytes, generation: int) -> None:
    if generation_of(there) > generation:
        raise Conflict(
            f"{store.uri}: another raytl took over ({key!r} is of its generation {generation_of(there)}, this one has "
            f"generation {generation}); nothing more is written. Run the same command again to go on."
        )


def _found(store: ObjectStore, key: str, pause: Pause | None) -> tuple[bytes, str]:
    """Return the object's bytes and an etag that is not newer than they are; nothing and ABSENT if there is none."""
    try:
        etag = retried(lambda: store.stat(key), pause=pause).etag
        return retried(lambda: store.get_bytes(key), pause=pause), etag
    except NotFound:
        return b"", ABSENT
