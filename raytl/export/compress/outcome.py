"""What is known of a candidate, and the result of a search, as values that are stored."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from raytl.errors import RunError
from raytl.stored import Format
from raytl.stored.bounds import Count, Name, Score, at_most

Status = Literal["kept", "rejected", "skipped"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of the parity gate on `images` validation images.

    `score` is that of the bundle, `reference` that of the saved model, by `metric`; `least` is the lower bound of their
    difference, and `reason` is empty if the bundle passed.
    """

    metric: Name
    score: Score
    reference: Score
    least: Score
    agreement: Score
    images: Count
    reason: Name = ""


@dataclass(frozen=True, slots=True)
class Speed:
    """The milliseconds of a call with one photo and with 32, beside those of the reference in the same minute.

    `ratio` is how many times faster than the reference a call with one photo is.
    """

    median_ms: Score
    p99_ms: Score
    network_ms: Score | None
    batch_ms: Score
    ratio: Score


@dataclass(frozen=True, slots=True)
class Outcome:
    """A candidate that was tried: kept, rejected or skipped, with the `reason`; `bytes` is the size of its graph."""

    name: Name
    status: Status
    reason: Name = ""
    verdict: Verdict | None = None
    speed: Speed | None = None
    bytes: Count = 0
    seconds: Score = 0.0


@dataclass(frozen=True, slots=True)
class Stored:
    """An outcome and the digest of everything that it depends on."""

    format: Literal[1]
    key: Name
    outcome: Outcome


OUTCOME_FORMAT = Format[Stored](
    Stored, "the outcome of a candidate", "Remove the file; it is measured again.", RunError
)


@dataclass(frozen=True, slots=True)
class Compression:
    """The result of a search for `run`: all outcomes, those on the `frontier`, and the `best` that meets `target_ms`.

    `best` is None if none does, and `shortfall` says how close the search came. `out` is the folder of the best bundle.
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
    warnings: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)
