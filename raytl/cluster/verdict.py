"""What the end of an attempt means: a pure decision over what the workers said, how far they came and who pays for it.

Ray Train has two budgets too; here a checkpoint taken on notice is no failure at all, a bug is never tried again, and
the same failure at the same place is not tried a third time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from raytl.config.schema import ComputeConfig
from raytl.disk import disk_error
from raytl.errors import RaytlError, WorkerFailed, WorkersLost, first_line

Cause = Literal["failure", "preemption", "resize"]


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that ended before the work did: why, the workers' errors (none where they came back when asked), and how
    far the run had come (any value that grows with progress)."""

    cause: Cause
    reason: str
    progress: int
    errors: tuple[BaseException, ...] = ()


@dataclass(frozen=True, slots=True)
class Again:
    """Start workers and go on from the last checkpoint."""

    cause: Cause
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Stop with this error."""

    error: RaytlError


def verdict(attempts: Sequence[Ended], compute: ComputeConfig) -> Again | GiveUp:
    """What to do after the last of `attempts`.

    An error meant for the user is never tried again, nor is a bug: it would come again. A machine that is taken away
    is paid for from `compute.max_preemptions`, a worker that died or hung from `compute.max_failures`.
    """
    last = attempts[-1]
    for error in last.errors:
        if isinstance(error, RaytlError):
            return GiveUp(error)
    if last.cause == "failure" and (bug := next(filter(is_bug, last.errors), None)):
        return GiveUp(disk_error(bug) or _failed(bug, last.progress))
    same = [each for each in attempts if each.cause == last.cause]
    budget = {"failure": compute.max_failures, "preemption": compute.max_preemptions}.get(last.cause)
    if budget is not None and len(same) > budget:
        key = {"failure": "max_failures", "preemption": "max_preemptions"}[last.cause]
        return GiveUp(_lost(same, f"compute.{key} allows {budget} replacement(s)"))
    if last.cause == "failure" and len(same) > 1 and _place(same[-2]) == _place(last):
        return GiveUp(_lost(same, "the same failure came twice at the same place"))
    return Again(last.cause, last.reason)


#: What an exception of a worker says when not its own code is at fault, but another worker, a machine or the network.
_OF_OTHERS = ("gloo", "nccl", "connection", "socket", "broken pipe", "timed out", "cuda error", "ecc", "store")


def is_bug(error: BaseException) -> bool:
    """True for an exception of the work's own code: not of Ray, and not one by which peers and devices are missed."""
    module = type(error).__module__
    if module.startswith(("ray.", "torch.distributed", "torch._C")) or isinstance(error, ConnectionError):
        return False
    text = str(error).lower()
    return not (isinstance(error, RuntimeError) and any(word in text for word in _OF_OTHERS))


def reason_of(errors: Sequence[BaseException]) -> str:
    """The first line that says why, the lost worker before its peers' complaints about it."""
    ranked = sorted(errors, key=lambda error: "died" not in str(error))
    return next((first_line(error) for error in ranked if str(error).strip()), "unknown")


def _place(attempt: Ended) -> tuple[str, int]:
    return attempt.reason, attempt.progress


def _failed(bug: BaseException, progress: int) -> WorkerFailed:
    told = str(bug).strip().splitlines() or [""]
    return WorkerFailed(
        f"A worker failed with {type(bug).__name__}: {told[0]}\n"
        + "".join(f"  {line}\n" for line in told[1:][-12:])
        + f"  Not retried: the error is deterministic. {_next(progress)}"
    )


def _lost(attempts: Sequence[Ended], why: str) -> WorkersLost:
    last = attempts[-1]
    told = str(last.errors[0]) if last.errors else last.reason
    details = "\n".join(f"  {line}" for line in told.strip().splitlines()[-12:])
    return WorkersLost(f"The workers failed {len(attempts)} time(s) and {why}.\n{details}\n  {_next(last.progress)}")


def _next(progress: int) -> str:
    """Return what to do; without progress there is no checkpoint to speak of."""
    if not progress:
        return "Fix the cause and run the same command again."
    return "Fix the cause and run the same command again to resume; the checkpoints are intact."
