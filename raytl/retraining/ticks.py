"""The record of a tick, written to the registry after each step, from which the next tick resumes.

A damaged record does not stop the next tick, which follows the newest readable one; a warning names the damaged one. Its
content is lost: an unfinished tick starts over, and its comparison on the evaluation images is not counted. Other names below
`ticks/` and `skips/` are ignored.
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
from raytl.labelling.suspect import SuspectLabel
from raytl.registry.record import Number
from raytl.retraining.changes import Changes
from raytl.retraining.gate import Comparison, Verdict
from raytl.retraining.policy import Decision, Search, Train
from raytl.sanitize import redacted
from raytl.store.contract import ObjectStore
from raytl.store.fence import put_fenced
from raytl.store.retry import retried
from raytl.stored import Format
from raytl.stored.bounds import Bound, Count, FormerKey, Moment, Name, Token, at_most

TICKS, SKIPS, WORK = "ticks/", "skips/", "work/"
"""Skips of unchanged listings are written without the lease, and no later tick reads them."""
MAX_DOUBTFUL = 200
"""Doubtful labels in a record; the work file of the tick has all."""
Stage = Literal["decided", "trained", "compared", "published", "done", "failed"]
Outcome = Literal["", "skip", "attention", "promote", "keep", "reject", "failure"]
_THREADS = 16
_STAMP = "%Y%m%dT%H%M%SZ"
_KEY = re.compile(r"(?:ticks|skips)/\d{8}T\d{6}Z-[0-9a-f]+\.json")


@dataclass(frozen=True)
class Tick:
    """One tick. Every record carries what later ticks need: the `listing` digest, `trained` (the newest version, of time
    `trained_at`), `since_search` trainings since the last search, and `looks` comparisons on the evaluation images so far.

    `version` is the challenger, `run` its run, and `evaluation` the id of the frozen images that it is compared on.
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
    doubtful: Annotated[tuple[SuspectLabel, ...], at_most(MAX_DOUBTFUL, "labels")] = ()
    """The most doubtful labels of the training images, if `labels.noise` asks for them."""
    decision: Decision | None = None
    evaluation: str = ""
    run: str = ""
    version: Number | None = None
    comparison: Annotated[Comparison | None, FormerKey("contest")] = None
    verdict: Verdict | None = None
    interruptions: Count = 0
    generation: Count = 0
    """Of the lease under which the record was last written; 0 for skips without one."""

    def __post_init__(self) -> None:
        """Redact secrets in the error."""
        object.__setattr__(self, "error", redacted(self.error))

    @property
    def over(self) -> bool:
        """True once the tick is done or has failed."""
        return self.stage in ("done", "failed")

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons for the outcome."""
        if self.error:
            return (self.error,)
        if self.verdict is not None:
            return self.verdict.reasons
        return self.decision.reasons if self.decision is not None else ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            **asdict(self),
            "changes": None if self.changes is None else self.changes.to_json(),
            "comparison": None if self.comparison is None else self.comparison.to_json(),
            "decision": _tagged(self.decision),
            "verdict": _tagged(self.verdict),
        }


def _has_what_its_stage_needs(tick: Tick) -> bool:
    """Return whether the next tick can resume from this record."""
    if tick.over:
        return True
    if not isinstance(tick.decision, Train | Search) or tick.changes is None:
        return False
    is_compared = tick.comparison is not None and tick.verdict is not None and bool(tick.verdict.reasons)
    needs = {"decided": True, "trained": True, "compared": is_compared}
    return needs.get(tick.stage, is_compared and tick.version is not None)


TICK_FORMAT = Format[Tick](
    Annotated[Tick, Bound("a tick with what its stage needs", _has_what_its_stage_needs)],
    "the record of a tick",
    "The object was damaged or edited: restore it there, or delete it.",
    RegistryError,
    max_bytes=16 << 20,
)


def new_tick(now: datetime, who: str, last: Tick | None) -> Tick:
    """Return a new tick that carries on what later ticks need from `last`."""
    stamp = now = now.astimezone(UTC)
    if last is not None:  # ids sort in the order of the ticks, even if the clocks of two machines disagree
        stamp = max(stamp, _time_in(last) + timedelta(seconds=1))
    tick = Tick(f"{stamp.strftime(_STAMP)}-{secrets.token_hex(2)}", now.isoformat(timespec="seconds"), who, "decided")
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


def _time_in(tick: Tick) -> datetime:
    """Return the time in the id of a tick, or when it started if that is later."""
    started = datetime.fromisoformat(tick.started)
    try:
        return max(started, datetime.strptime(tick.id.partition("-")[0], _STAMP).replace(tzinfo=UTC))
    except ValueError:  # no such day
        return started


def last_tick(store: ObjectStore, on_event: OnEvent = ignore) -> Tick | None:
    """Return the newest readable tick, if there is one; a warning names each unreadable one after it.

    A tick of a lower generation than its predecessor is ignored: its process had lost the lease.
    """
    newest: list[Tick] = []
    for key in reversed(_keys(store, TICKS)):
        tick = _readable(store, key, on_event)
        newest += [] if tick is None else [tick]
        if len(newest) == 2:
            break
    return max(newest, key=lambda tick: (tick.generation, tick.id), default=None)


def all_ticks(store: ObjectStore, on_event: OnEvent = ignore) -> list[Tick]:
    """Return every readable tick, oldest first, with skips; a warning names each unreadable one."""
    keys = [key for prefix in (TICKS, SKIPS) for key in _keys(store, prefix)]
    with ThreadPoolExecutor(_THREADS) as pool:
        ticks = list(pool.map(lambda key: _readable(store, key, on_event), keys))
    return sorted((tick for tick in ticks if tick is not None), key=lambda tick: tick.id)


def read_tick(store: ObjectStore, key: str, on_event: OnEvent = ignore) -> Tick:
    """Return the tick stored under `key`; a warning lists unknown keys, which are ignored.

    Raises:
        RegistryError: it is damaged, or its id differs from its key.
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
        on_event(Message(f"ignored unreadable object: {error}", "warning"))
        return None


def _keys(store: ObjectStore, prefix: str) -> list[str]:
    keys = [info.key for info in retried(lambda: list(store.list(prefix)))]
    return sorted(key for key in keys if _KEY.fullmatch(key))


def _id(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".json")


def write_tick(store: ObjectStore, tick: Tick, where: str = TICKS) -> None:
    """Write the record of the tick.

    Raises:
        Conflict: a process of a later generation resumed it.
    """
    content = json.dumps(tick.to_json(), indent=2).encode()
    put_fenced(store, f"{where}{tick.id}.json", content, tick.generation)


def versions_in_use(store: ObjectStore) -> dict[int, str]:
    """Return the versions that the next tick needs, with the reason.

    Raises:
        RegistryError: the newest tick is unreadable, so the versions that it needs are unknown.
    """
    keys = _keys(store, TICKS)
    tick = read_tick(store, keys[-1]) if keys else None
    if tick is None:
        return {}
    reasons = {tick.trained: "has the splits of all images so far"}
    if not tick.over:
        start = tick.decision.start if isinstance(tick.decision, Train | Search) else None
        reasons |= dict.fromkeys((tick.champion, start, tick.version), f"needed by unfinished tick {tick.id}")
    return {number: reason for number, reason in reasons.items() if number is not None}


def _tagged(value: Decision | Verdict | None) -> dict[str, Any] | None:
    return None if value is None else {"kind": type(value).__name__.lower(), **asdict(value)}
