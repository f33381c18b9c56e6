"""What a failed attempt means: a pure decision over what the workers said and how far they came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raytl.errors import RaytlError, WorkersLost


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt: its errors, and how far the run had come (any value that grows with progress)."""

    errors: tuple[BaseException, ...]
    progress: int

    @property
    def reason(self) -> str:
        """The first line that says why, the lost worker before its peers' complaints about it."""
        ranked = sorted(self.errors, key=lambda error: "died" not in str(error))
        return next((line for error in ranked for line in str(error).splitlines() if line.strip()), "unknown")


@dataclass(frozen=True, slots=True)
class Retry:
    """Replace the workers and go on from the last checkpoint."""

    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Stop with this error."""

    error: RaytlError


def verdict(failures: Sequence[Failure], budget: int) -> Retry | GiveUp:
    """What to do after the last of `failures`, when `budget` replacements are allowed.

    An error meant for the user is never retried: it would come again. Neither is the same error twice in
    a row at the same place: that is a bug, not a lost worker.
    """
    last = failures[-1]
    for error in last.errors:
        if isinstance(error, RaytlError):
            return GiveUp(error)
    if len(failures) > budget:
        return GiveUp(_lost(failures, f"compute.max_failures allows {budget} replacement(s)"))
    if len(failures) > 1 and (failures[-2].reason, failures[-2].progress) == (last.reason, last.progress):
        return GiveUp(_lost(failures, "the same failure came twice at the same place"))
    return Retry(last.reason)


def _lost(failures: Sequence[Failure], why: str) -> WorkersLost:
    details = "\n".join(f"  {line}" for line in str(failures[-1].errors[0]).strip().splitlines()[-12:])
    return WorkersLost(
        f"The workers failed {len(failures)} time(s) and {why}.\n{details}\n"
        "  The run's checkpoints are whole: mend the cause and run the same command again to continue."
    )
