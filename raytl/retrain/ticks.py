"""What a tick has done so far, written into the registry after each of its steps: the next tick goes on from there."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from raytl.metrics.paired import Paired
from raytl.retrain.changes import Changes
from raytl.retrain.gate import Contest, Keep, Promote, Reject, Slice, Verdict
from raytl.retrain.policy import Decision, Search, Skip, Train
from raytl.shown import redacted
from raytl.store.contract import ObjectStore
from raytl.store.fence import put_fenced
from raytl.store.retry import retried

TICKS, SKIPS, WORK = "ticks/", "skips/", "work/"
"""Skips at the price of a listing are written without the lease, and no later tick reads them."""
Stage = Literal["decided", "trained", "compared", "published", "done", "failed"]
Outcome = Literal["", "skip", "attention", "promote", "keep", "reject", "failure"]
_THREADS = 16
_STAMP = "%Y%m%dT%H%M%SZ"
_DECISIONS: dict[str, type[Decision]] = {"skip": Skip, "train": Train, "search": Search}
_VERDICTS: dict[str, type[Verdict]] = {"promote": Promote, "keep": Keep, "reject": Reject}


@dataclass(frozen=True)
class Tick:
    """One tick. What later ticks need stays in every record: the `listing` that the data had, `trained` (the last version of
    all, at `trained_at`), `since_search` trainings since the last search, and `looks` comparisons on the evaluation images so far.

    `version` is the challenger, `run` where it was trained, `evaluation` names the frozen images that it is compared on.
    """

    id: str
    started: str
    who: str
    stage: Stage
    outcome: Outcome = ""
    ended: str = ""
    error: str = ""
    listing: str = ""
    champion: int | None = None
    trained: int | None = None
    trained_at: str = ""
    since_search: int = 0
    looks: int = 0
    changes: Changes | None = None
    decision: Decision | None = None
    evaluation: str = ""
    run: str = ""
    version: int | None = None
    contest: Contest | None = None
    verdict: Verdict | None = None
    interruptions: int = 0
    generation: int = 0
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

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Tick:
        """The value that `to_json` gave."""
        return cls(
            **{
                **value,
                "changes": Changes.from_json(value["changes"]) if value["changes"] else None,
                "decision": _untagged(value["decision"], _DECISIONS),
                "verdict": _untagged(value["verdict"], _VERDICTS),
                "contest": _contest(value["contest"]) if value["contest"] else None,
            }
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


def last_tick(store: ObjectStore) -> Tick | None:
    """The newest tick; None where there was none. One of a lower generation than the tick before it was begun by a process
    that had lost its lease, and does not count."""
    keys = [info.key for info in retried(lambda: list(store.list(TICKS)))]
    return max((read_tick(store, key) for key in keys[-2:]), key=lambda tick: (tick.generation, tick.id), default=None)


def all_ticks(store: ObjectStore) -> list[Tick]:
    """Every tick, oldest first, skips too."""
    keys = [info.key for prefix in (TICKS, SKIPS) for info in retried(lambda p=prefix: list(store.list(p)))]  # type: ignore[misc]
    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(lambda key: read_tick(store, key), keys))
    return sorted(found, key=lambda tick: tick.id)


def read_tick(store: ObjectStore, key: str) -> Tick:
    """The tick that is stored under `key`."""
    return Tick.from_json(json.loads(retried(lambda: store.get_bytes(key))))


def write_tick(store: ObjectStore, tick: Tick, where: str = TICKS) -> None:
    """Store the tick as it is now.

    Raises:
        Conflict: a process of a later generation went on with it.
    """
    content = json.dumps(tick.to_json(), indent=2).encode()
    put_fenced(store, f"{where}{tick.id}.json", content, tick.generation)


def needed(store: ObjectStore) -> dict[int, str]:
    """The versions that a tick which is not over goes on from, with the reason."""
    tick = last_tick(store)
    if tick is None:
        return {}
    found = {tick.trained: "holds who trained and who was held out so far"}
    if not tick.over:
        start = tick.decision.start if isinstance(tick.decision, Train | Search) else None
        found |= dict.fromkeys((tick.champion, start, tick.version), f"tick {tick.id} goes on from it")
    return {number: reason for number, reason in found.items() if number is not None}


def _tagged(value: Decision | Verdict | None) -> dict[str, Any] | None:
    return None if value is None else {"kind": type(value).__name__.lower(), **asdict(value)}


def _untagged(value: Mapping[str, Any] | None, kinds: Mapping[str, Any]) -> Any:
    if value is None:
        return None
    rest = {key: tuple(inner) if isinstance(inner, list) else inner for key, inner in value.items() if key != "kind"}
    return kinds[value["kind"]](**rest)


def _contest(value: Mapping[str, Any]) -> Contest:
    return Contest(
        **{
            **value,
            "paired": Paired(**value["paired"]) if value["paired"] else None,
            "slices": tuple(Slice(**part) for part in value["slices"]),
            "leaked": tuple(value["leaked"]),
            "unknown": tuple(value["unknown"]),
        }
    )
