"""The retry policy: a pure decision from the errors, the progress and the causes of the attempts so far.

Ray Train also has two budgets. Here a pause with a checkpoint is not a failure, a bug is never retried, and the same failure
at the same step is not retried a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from raytl.config.schema import ComputeConfig
from raytl.disk import disk_error
from raytl.errors import RaytlError, WorkerFailed, WorkersLost, first_line
from raytl.out_of_memory import memory_error

Cause = Literal["failure", "preemption", "resize"]


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """An attempt that ended before the work was done: the cause, the workers' errors (none after a pause), and the progress
    of the run (any number that grows)."""

    cause: Cause
    reason: str
    progress: int
    errors: tuple[BaseException, ...] = ()


@dataclass(frozen=True, slots=True)
class Retry:
    """Start new workers and resume from the last checkpoint."""

    cause: Cause
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Fail the run with this error."""

    error: RaytlError


def decide(attempts: Sequence[EndedAttempt], compute: ComputeConfig) -> Retry | GiveUp:
    """Return what to do after the last of `attempts`.

    Errors for the user and bugs are deterministic and never retried. A preempted machine counts against
    `compute.max_preemptions`, a worker that died or hung against `compute.max_failures`.
    """
    last = attempts[-1]
    for error in last.errors:
        if isinstance(error, RaytlError):
            return GiveUp(error)
    if last.cause == "failure" and (bug := next(filter(is_bug, last.errors), None)):
        return GiveUp(disk_error(bug) or memory_error(bug) or _failed(bug, last.progress))
    same = [each for each in attempts if each.cause == last.cause]
    budget = {"failure": compute.max_failures, "preemption": compute.max_preemptions}.get(last.cause)
    if budget is not None and len(same) > budget:
        key = {"failure": "max_failures", "preemption": "max_preemptions"}[last.cause]
        return GiveUp(_lost(same, f"compute.{key} allows {budget} restart(s)"))
    if last.cause == "failure" and len(same) > 1 and _place(same[-2]) == _place(last):
        return GiveUp(_lost(same, "the same failure occurred twice at the same step"))
    return Retry(last.cause, last.reason)


#: Words in a worker's exception that point to a peer, a machine or the network rather than to the worker's own code.
_PEER_ERRORS = ("gloo", "nccl", "connection", "socket", "broken pipe", "timed out", "cuda error", "ecc", "store")


#: Words in Ray's error when it ends a process of a machine whose memory is nearly full; a list of processes follows.
_OUT_OF_MEMORY = "low on memory"
_MEMORY_ADVICE = (
    "Use fewer workers on a machine (compute.workers), fewer data.loader_workers, a smaller train.batch_size, "
    "or machines with more memory."
)


def is_bug(error: BaseException) -> bool:
    """True for an exception raised by the work's own code, rather than by Ray, a lost peer or a device."""
    module = type(error).__module__
    if module.startswith(("ray.", "torch.distributed", "torch._C")) or isinstance(error, ConnectionError):
        return False
    text = str(error).lower()
    return not (isinstance(error, RuntimeError) and any(word in text for word in _PEER_ERRORS))


def reason_of(errors: Sequence[BaseException]) -> str:
    """Return the first line of the most telling error: that of a dead worker before its peers' connection errors."""
    return next((first_line(error) for error in _ranked(errors) if str(error).strip()), "unknown")


def _ranked(errors: Sequence[BaseException]) -> list[BaseException]:
    """Return the errors, those of dead workers first."""
    return sorted(errors, key=lambda error: not any(word in str(error) for word in ("died", _OUT_OF_MEMORY)))


def _place(attempt: EndedAttempt) -> tuple[str, int]:
    return attempt.reason, attempt.progress


def _failed(bug: BaseException, progress: int) -> WorkerFailed:
    lines = str(bug).strip().splitlines() or [""]
    return WorkerFailed(
        f"A worker failed with {type(bug).__name__}: {lines[0]}\n"
        + "".join(f"  {line}\n" for line in lines[1:][-12:])
        + f"  Not retried: the error is deterministic. {_advice(progress)}"
    )


def _lost(attempts: Sequence[EndedAttempt], why: str) -> WorkersLost:
    last = attempts[-1]
    text = str(_ranked(last.errors)[0]) if last.errors else last.reason
    lines = text.strip().splitlines()
    lines = [*lines[:2], _MEMORY_ADVICE] if _OUT_OF_MEMORY in text else lines[-12:]
    details = "\n".join(f"  {line}" for line in lines)
    return WorkersLost(f"The workers failed {len(attempts)} time(s) and {why}.\n{details}\n  {_advice(last.progress)}")


def _advice(progress: int) -> str:
    """Return the advice; it mentions checkpoints only if there is progress."""
    if not progress:
        return "Fix the cause and run the same command again."
    return "Fix the cause and run the same command again to resume; the checkpoints are intact."
