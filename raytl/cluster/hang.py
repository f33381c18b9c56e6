"""Hang detection from heartbeats: a pure function that names the worker at fault."""

from __future__ import annotations

from collections.abc import Sequence

from raytl.cluster.heartbeat import Heartbeat

_SILENT_S = 15.0


def describe_hang(heartbeats: Sequence[Heartbeat], workers: int, since_s: float, timeout_s: float) -> str | None:
    """Return which workers hang and in what if none has made progress for `timeout_s`; None otherwise.

    `since_s` is the time since the first heartbeat of any worker: a worker without one has been silent for so long.
    Before the first heartbeat the workers are starting, which Ray and torch bound themselves.
    """
    ranks = {heartbeat.rank for heartbeat in heartbeats}
    missing = [rank for rank in range(workers) if rank not in ranks]
    stalled = [heartbeat.stalled_s + heartbeat.age_s for heartbeat in heartbeats] + [since_s for _ in missing]
    if not heartbeats or min(stalled) < timeout_s:
        return None
    silent = [heartbeat for heartbeat in heartbeats if heartbeat.age_s > min(_SILENT_S, timeout_s * 0.75)]
    alive = [heartbeat for heartbeat in heartbeats if heartbeat not in silent]
    waiting, busy = [b for b in alive if b.in_collective], [b for b in alive if not b.in_collective]
    clauses = [f"{_worker(b)} has sent no heartbeat for {b.age_s:.0f} s; last activity: {b.activity}" for b in silent]
    clauses += [f"rank {rank} never sent a heartbeat" for rank in missing]
    clauses += [f"{_worker(b)} has been in {b.activity}{_at(b)} for {b.stalled_s:.0f} s" for b in busy]
    clauses += _waiting(waiting)
    if len(waiting) == workers > 1:
        clauses.append("all workers wait: check the network between them, or a collective that only some ranks entered")
    return f"no worker made progress for {timeout_s:g} s: " + "; ".join(clauses)


def _waiting(heartbeats: Sequence[Heartbeat]) -> list[str]:
    """Return the ranks that wait, grouped by collective."""
    by_activity: dict[str, list[int]] = {}
    for heartbeat in sorted(heartbeats, key=lambda heartbeat: heartbeat.rank):
        by_activity.setdefault(heartbeat.activity, []).append(heartbeat.rank)
    return [
        f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks[:16]))}{' ...' if len(ranks) > 16 else ''} "
        f"wait{'' if len(ranks) > 1 else 's'} in {activity}"
        for activity, ranks in by_activity.items()
    ]


def _worker(heartbeat: Heartbeat) -> str:
    return f"rank {heartbeat.rank} (host {heartbeat.host}, pid {heartbeat.pid})"


def _at(heartbeat: Heartbeat) -> str:
    return f" ({heartbeat.location})" if heartbeat.location else ""
