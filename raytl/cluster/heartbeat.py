"""What a worker says of itself every few seconds, and what it may be asked for in return; values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Ask:
    """`pause`: store a checkpoint after this step and come back; `end`: leave at once, nothing more is to be written.

    `cause` says what for: machines that go away (preemption), more of them (resize), or workers that hang (failure).
    """

    what: Literal["pause", "end"]
    reason: str
    cause: Literal["preemption", "resize", "failure"] = "failure"

    def goes_beyond(self, before: Ask | None) -> bool:
        """True when this is to be asked after `before` was: once, but for the end of workers that do not pause."""
        return before is None or (self.what, before.what) == ("end", "pause")


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One worker: who and where it is, and what it has been doing for `still_s` seconds without getting on.

    `waits` says that it is in a collective, so that others hold it up. `line` is where in the code it is when it has been
    still for long. `silent_s` is the age of the beat itself.
    """

    rank: int
    host: str
    node: str
    pid: int
    doing: str
    waits: bool
    still_s: float
    line: str = ""
    silent_s: float = 0.0
