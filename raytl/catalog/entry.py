"""One run or sweep in a list, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

Kind = Literal["run", "sweep"]
State = Literal["running", "interrupted", "failed", "finished", "unreadable"]


@dataclass(frozen=True)
class Entry:
    """A run or a sweep below a URI.

    `value` is the best value of `metric` so far, None before the first epoch and for a sweep that is not finished. `done`
    of `total` epochs (of a sweep: trials) have ended. `snapshot` names the data. `updated` is the time of the last change
    (ISO 8601, UTC), empty if unknown. `note` is the error of a failed one, or the reason why it cannot be read.
    """

    uri: str
    name: str
    kind: Kind
    state: State
    model: str = ""
    metric: str = ""
    value: float | None = None
    done: int = 0
    total: int = 0
    snapshot: str = ""
    updated: str = ""
    note: str = ""

    def age_s(self, now: datetime) -> float | None:
        """Return the seconds since the last change; None if its time is unknown."""
        then = moment(self.updated)
        return None if then is None else max(0.0, (now - then).total_seconds())


def moment(time: str) -> datetime | None:
    """Return a stored time (ISO 8601) in UTC; None if it is none."""
    try:
        return datetime.fromisoformat(time).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
