"""The heartbeat of a worker and the request that the driver may answer with, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class DriverRequest:
    """`pause`: save a checkpoint after this step and return; `exit`: leave at once and write nothing more.

    `cause` is preemption (nodes are draining), resize (room for more workers) or failure (workers hang).
    """

    action: Literal["pause", "exit"]
    reason: str
    cause: Literal["preemption", "resize", "failure"] = "failure"

    def supersedes(self, previous: DriverRequest | None) -> bool:
        """True if this must be sent after `previous`: the first request, or an exit for workers that do not pause."""
        return previous is None or (self.action, previous.action) == ("exit", "pause")


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One worker: its identity, its activity, and for how many seconds it has made no progress (`stalled_s`).

    `in_collective` is True while it waits for its peers. `location` is the current line of code once it stalls. `age_s` is
    the age of the heartbeat itself.
    """

    rank: int
    host: str
    node: str
    pid: int
    activity: str
    in_collective: bool
    stalled_s: float
    location: str = ""
    age_s: float = 0.0
