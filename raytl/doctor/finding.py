"""What was found, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from raytl.doctor.bucket import Reached
from raytl.doctor.links import Link
from raytl.doctor.machine import Machine

Level = Literal["ok", "warn", "error"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what was found and, where that is not as it should be, what was expected and what to
    do."""

    level: Level
    what: str
    found: str
    expected: str = ""
    advice: str = ""


@dataclass(frozen=True)
class Silent:
    """A look that gave nothing: at what, where, and why."""

    what: str
    node: str
    reason: str


@dataclass(frozen=True)
class Examination:
    """All that was looked at; the machine that asked comes first."""

    machines: tuple[Machine, ...]
    within: tuple[Link, ...] = ()
    between: Link | None = None
    reached: tuple[Reached, ...] = ()
    silent: tuple[Silent, ...] = ()
