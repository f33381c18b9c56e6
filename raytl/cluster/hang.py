"""Whether workers hang, and who holds up whom: a pure reading of what each says of itself."""

from __future__ import annotations

from collections.abc import Sequence

from raytl.cluster.heartbeat import Heartbeat

_SILENT_S = 15.0


def hang(heartbeats: Sequence[Heartbeat], workers: int, since_s: float, timeout_s: float) -> str | None:
    """Who hangs in what, when no worker has got on for `timeout_s`; None while one has.

    `since_s` is how long ago the first of them beat: one that never did has been silent for so long. Until then they
    start, for which Ray and torch have limits of their own.
    """
    known = {heartbeat.rank for heartbeat in heartbeats}
    missing = [rank for rank in range(workers) if rank not in known]
    still = [heartbeat.still_s + heartbeat.silent_s for heartbeat in heartbeats] + [since_s for _ in missing]
    if not heartbeats or min(still) < timeout_s:
        return None
    silent = [heartbeat for heartbeat in heartbeats if heartbeat.silent_s > min(_SILENT_S, timeout_s * 0.75)]
    awake = [heartbeat for heartbeat in heartbeats if heartbeat not in silent]
    waiting, busy = [b for b in awake if b.waits], [b for b in awake if not b.waits]
    told = [
        f"{_who(heartbeat)} has not been heard of for {heartbeat.silent_s:.0f} s; it was in {heartbeat.doing}"
        for heartbeat in silent
    ]
    told += [f"rank {rank} never said a word" for rank in missing]
    told += [
        f"{_who(heartbeat)} is in {heartbeat.doing}{_at(heartbeat)} for {heartbeat.still_s:.0f} s" for heartbeat in busy
    ]
    told += _waits(waiting)
    if len(waiting) == workers > 1:
        told.append(
            "no worker is missing, so the network between them, or a collective that only some reached, is at fault"
        )
    return f"no worker got on for {timeout_s:g} s: " + "; ".join(told)


def _waits(heartbeats: Sequence[Heartbeat]) -> list[str]:
    """Which ranks wait in which collective, those of one together."""
    by_place: dict[str, list[int]] = {}
    for heartbeat in sorted(heartbeats, key=lambda heartbeat: heartbeat.rank):
        by_place.setdefault(heartbeat.doing, []).append(heartbeat.rank)
    return [
        f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks[:16]))}{' ...' if len(ranks) > 16 else ''} "
        f"wait{'' if len(ranks) > 1 else 's'} in {place}"
        for place, ranks in by_place.items()
    ]


def _who(heartbeat: Heartbeat) -> str:
    return f"rank {heartbeat.rank} (host {heartbeat.host}, pid {heartbeat.pid})"


def _at(heartbeat: Heartbeat) -> str:
    return f" ({heartbeat.line})" if heartbeat.line else ""
