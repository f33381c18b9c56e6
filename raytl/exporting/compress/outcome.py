"""The measurements of a candidate and the result of a search, as values that are stored."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from raytl.errors import RunError
from raytl.stored import Format
from raytl.stored.bounds import Count, Name, at_most, within
from raytl.stored.fault import mismatch

Fraction = Annotated[float, within(0, 1)]
Difference = Annotated[float, within(-1, 1)]
Amount = Annotated[float, within(0, 1e9)]
Status = Literal["kept", "rejected", "skipped"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of the parity gate on `images` validation images.

    `score` is that of the bundle, `reference` that of the saved model, by `metric`; `least` is the lower bound of their
    difference, and `reason` is empty if the bundle passed.
    """

    metric: Name
    score: Fraction
    reference: Fraction
    least: Difference
    agreement: Fraction
    images: Count
    reason: Name = ""


@dataclass(frozen=True, slots=True)
class Speed:
    """The milliseconds of a call with one photo and with 32, beside those of the reference in the same minute.

    `ratio` is how many times faster than the reference a call with one photo is.
    """

    median_ms: Amount
    p99_ms: Amount
    network_ms: Amount | None
    batch_ms: Amount
    ratio: Amount


@dataclass(frozen=True, slots=True)
class Outcome:
    """A candidate that was tried: kept, rejected or skipped, with the `reason`; `bytes` is the size of its graph."""

    name: Name
    status: Status
    reason: Name = ""
    verdict: Verdict | None = None
    speed: Speed | None = None
    bytes: Count = 0
    seconds: Amount = 0.0

    def __post_init__(self) -> None:
        if self.status == "kept" and (self.verdict is None or self.speed is None):
            raise mismatch(self.status, "a verdict and a speed of a candidate that is kept").below("status")


@dataclass(frozen=True, slots=True)
class Stored:
    """An outcome and the digest of everything that it depends on."""

    format: Literal[1]
    key: Name
    outcome: Outcome


CANDIDATE_FORMAT = Format[Stored](
    Stored, "the outcome of a candidate", "Remove the file; it is measured again.", RunError
)


@dataclass(frozen=True, slots=True)
class Compression:
    """The result of a search for `run`: all outcomes, those on the `frontier`, and the `best` that meets `target_ms`.

    `best` is None if none does, and `shortfall` says how close the search came. `out` is the folder of the best bundle, `search` that of all others.
    """

    run: Name
    target_ms: float | None
    max_drop: float
    threads: int
    processor: Name
    cpu_flags: Annotated[tuple[Name, ...], at_most(100, "flags")]
    outcomes: tuple[Outcome, ...]
    frontier: tuple[Name, ...]
    best: Name | None
    shortfall: str
    out: str
    search: str = ""
    warnings: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)
