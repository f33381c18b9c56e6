"""The measurements and the findings of `raytl doctor`, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from raytl.doctor.bucket import BucketProbe
from raytl.doctor.links import Link
from raytl.doctor.machine import MachineReport

Level = Literal["ok", "warn", "error"]


@dataclass(frozen=True)
class Finding:
    """The result of one check; if it failed, with the expected value and advice."""

    level: Level
    check: str
    observed: str
    expected: str = ""
    advice: str = ""


@dataclass(frozen=True)
class FailedCheck:
    """A check that could not run on a node, and why."""

    check: str
    node: str
    reason: str


@dataclass(frozen=True)
class Examination:
    """All measurements; the machine that runs `raytl doctor` comes first, if it has answered."""

    machines: tuple[MachineReport, ...]
    within: tuple[Link, ...] = ()
    between: Link | None = None
    probes: tuple[BucketProbe, ...] = ()
    failed: tuple[FailedCheck, ...] = ()
