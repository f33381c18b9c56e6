"""What a tick has done so far, written into the registry after each of its steps: the next tick goes on from there.

A tick that cannot be read does not stop the next one, which goes on from the newest that can be read; a warning names the
damaged one. What it knew is lost: an unfinished one is begun anew, and its look at the evaluation images is not counted.
Other names below `ticks/` and `skips/` are ignored.
"""

from __future__ import annotations

import json
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from raytl.errors import RegistryError
from raytl.events import Message, OnEvent, ignore
from raytl.registry.record import Number
from raytl.retrain.changes import Changes
from raytl.retrain.gate import Comparison, Verdict
from raytl.retrain.policy import Decision, Search, Train
from raytl.sanitize import redacted
from raytl.store.contract import ObjectStore
from raytl.store.fence import put_fenced
from raytl.store.retry import retried
from raytl.stored import Format
from raytl.stored.bounds import Bound, Count, Moment, Name, Token

TICKS, SKIPS, WORK = "ticks/", "skips/", "work/"
"""Skips at the price of a listing are written without the lease, and no later tick reads them."""
Stage = Literal["decided", "trained", "compared", "published", "done", "failed"]
Outcome = Literal["", "skip", "attention", "promote", "keep", "reject", "failure"]
_THREADS = 16
_STAMP = "%Y%m%dT%H%M%SZ"
_KEY = re.compile(r"(?:ticks|skips)/\d{8}T\d{6}Z-[0-9a-f]+\.json")


@dataclass(frozen=True)
class Tick:
    """One tick. What later ticks need stays in every record: the `listing` that the data had, `trained` (the last version of
    all, at `trained_at`), `since_search` trainings since the last search, and `looks` comparisons on the evaluation images so far.

    `version` is the challenger, `run` where it was trained, `evaluation` names the frozen images that it is compared on.
    """

    id: Token
    started: Moment
    who: Name
    stage: Stage
    outcome: Outcome = ""
    ended: str = ""
    error: str = ""
    listing: str = ""
    champion: Number | None = None
    trained: Number | None = None
    trained_at: Moment | Literal[""] = ""
    since_search: Count = 0
    looks: Count = 0
    changes: Changes | None = None
    decision: Decision | None = None
    evaluation: str = ""
    run: str = ""
    version: Number | None = None
    contest: Comparison | None = None
    verdict: Verdict | None = None
    interruptions: Count = 0
    generation: Count = 0
    """Of the lease of whoever wrote this down last; 0 for skips without one."""

    def __post_init__(self) -> None:
        """Star the secrets in the error, which may be of anything that runs in a tick."""
        object.__setattr__(self, "error", redacted(self.error))

    @property
    def over(self) -> bool:
        """True once there is nothing left to do."""
        return self.stage in ("done", "failed")

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it ended as it did."""
        if self.error:
            return (self.error,)
        if self.verdict is not None:
            return self.verdict.reasons
        return self.decision.reasons if self.decision is not None else ()

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return {
            **asdict(self),
            "decision": _tagged(self.decision),
            "verdict": _tagged(self.verdict),
        }


def _has_what_its_stage_needs(tick: Tick) -> bool:
    """Return whether the next tick can go on from there."""
    if tick.over:
        return True
    if not isinstance(tick.decision, Train | Search) or tick.changes is None:
        return False
    is_compared = tick.contest is not None and tick.verdict is not None and bool(tick.verdict.reasons)
    needs = {"decided": True, "trained": True, "compared": is_compared}
    return needs.get(tick.stage, is_compared and tick.version is not None)


TICK_FORMAT = Format[Tick](
    Annotated[Tick, Bound("a tick that has what its stage needs", _has_what_its_stage_needs)],
    "the record of a tick",
    "The object was damaged or edited: restore it there, or delete it.",
    RegistryError,
    max_bytes=16 << 20,
)


def begun(now: datetime, who: str, last: Tick | None) -> Tick:
    """A new tick, which knows what the one before it did."""
    stamp = now.astimezone(UTC)
    if last is not None:  # ids are in the order of the ticks, whatever the clocks of two machines say
        stamp = max(stamp, datetime.fromisoformat(last.started) + timedelta(seconds=1))
    tick = Tick(f"{stamp.strftime(_STAMP)}-{secrets.token_hex(2)}", stamp.isoformat(timespec="seconds"), who, "decided")
    if last is None:
        return tick
    return replace(
        tick,
        listing=last.listing,
        trained=last.trained,
        trained_at=last.trained_at,
        since_search=last.since_search,
        looks=last.looks,
        changes=last.changes,
    )


def last_tick(store: ObjectStore, on_event: OnEvent = ignore) -> Tick | None:
    """Return the newest tick that can be read, if there is one; a warning names those after it that cannot.

    One of a lower generation than the tick before it was begun by a process that had lost its lease, and does not count.
    """
    newest: list[Tick] = []
    for key in reversed(_keys(store, TICKS)):
        tick = _readable(store, key, on_event)
        newest += [] if tick is None else [tick]
        if len(newest) == 2:
            break
    return max(newest, key=lambda tick: (tick.generation, tick.id), default=None)


def all_ticks(store: ObjectStore, on_event: OnEvent = ignore) -> list[Tick]:
    """Every tick that can be read, oldest first, skips too; a warning names the others."""
    keys = [key for prefix in (TICKS, SKIPS) for key in _keys(store, prefix)]
    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(lambda key: _readable(store, key, on_event), keys))
    return sorted((tick for tick in found if tick is not None), key=lambda tick: tick.id)


def read_tick(store: ObjectStore, key: str, on_event: OnEvent = ignore) -> Tick:
    """The tick that is stored under `key`; keys that this version does not know are ignored and listed.

    Raises:
        RegistryError: it cannot be read, or is another one than its key says.
    """
    where = f"{store.uri}/{key}"
    tick = TICK_FORMAT.read(retried(lambda: store.get_bytes(key)), where, on_event)
    if (named := _id(key)) != tick.id:
        raise RegistryError(f"{where}: id: found {tick.id}; expected {named}. {TICK_FORMAT.advice}")
    return tick


def _readable(store: ObjectStore, key: str, on_event: OnEvent) -> Tick | None:
    try:
        return read_tick(store, key, on_event)
    except RegistryError as error:
        on_event(Message(f"unreadable, ignored: {error}", "warning"))
        return None


def _keys(store: ObjectStore, prefix: str) -> list[str]:
    keys = [info.key for info in retried(lambda: list(store.list(prefix)))]
    return sorted(key for key in keys if _KEY.fullmatch(key))


def _id(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".json")


def write_tick(store: ObjectStore, tick: Tick, where: str = TICKS) -> None:
    """Store the tick as it is now.

    Raises:
        Conflict: a process of a later generation went on with it.
    """
    content = json.dumps(tick.to_json(), indent=2).encode()
    put_fenced(store, f"{where}{tick.id}.json", content, tick.generation)


def needed(store: ObjectStore) -> dict[int, str]:
    """The versions that a tick which is not over goes on from, with the reason.

    Raises:
        RegistryError: the newest tick cannot be read, so that what it needs is not known.
    """
    keys = _keys(store, TICKS)
    tick = read_tick(store, keys[-1]) if keys else None
    if tick is None:
        return {}
    found = {tick.trained: "holds who trained and who was held out so far"}
    if not tick.over:
        start = tick.decision.start if isinstance(tick.decision, Train | Search) else None
        found |= dict.fromkeys((tick.champion, start, tick.version), f"tick {tick.id} goes on from it")
    return {number: reason for number, reason in found.items() if number is not None}


def _tagged(value: Decision | Verdict | None) -> dict[str, Any] | None:
    return None if value is None else {"kind": type(value).__name__.lower(), **asdict(value)}
