"""Whether workers hang, and who holds up whom: a pure reading of what each says of itself."""

from __future__ import annotations

from collections.abc import Sequence

from raytl.cluster.beat import Beat

_SILENT_S = 15.0


def hang(beats: Sequence[Beat], workers: int, since_s: float, timeout_s: float) -> str | None:
    """Who hangs in what, when no worker has got on for `timeout_s`; None while one has.

    `since_s` is how long ago the first of them beat: one that never did has been silent for so long. Until then they
    start, for which Ray and torch have limits of their own.
    """
    known = {beat.rank for beat in beats}
    missing = [rank for rank in range(workers) if rank not in known]
    still = [beat.still_s + beat.silent_s for beat in beats] + [since_s for _ in missing]
    if not beats or min(still) < timeout_s:
        return None
    silent = [beat for beat in beats if beat.silent_s > min(_SILENT_S, timeout_s * 0.75)]
    awake = [beat for beat in beats if beat not in silent]
    waiting, busy = [b for b in awake if b.waits], [b for b in awake if not b.waits]
    told = [f"{_who(beat)} has not been heard of for {beat.silent_s:.0f} s; it was in {beat.doing}" for beat in silent]
    told += [f"rank {rank} never said a word" for rank in missing]
    told += [f"{_who(beat)} is in {beat.doing}{_at(beat)} for {beat.still_s:.0f} s" for beat in busy]
    told += _waits(waiting)
    if len(waiting) == workers > 1:
        told.append(
            "no worker is missing, so the network between them, or a collective that only some reached, is at fault"
        )
    return f"no worker got on for {timeout_s:g} s: " + "; ".join(told)


def _waits(beats: Sequence[Beat]) -> list[str]:
    """Which ranks wait in which collective, those of one together."""
    by_place: dict[str, list[int]] = {}
    for beat in sorted(beats, key=lambda beat: beat.rank):
        by_place.setdefault(beat.doing, []).append(beat.rank)
    return [
        f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks[:16]))}{' ...' if len(ranks) > 16 else ''} "
        f"wait{'' if len(ranks) > 1 else 's'} in {place}"
        for place, ranks in by_place.items()
    ]


def _who(beat: Beat) -> str:
    return f"rank {beat.rank} (host {beat.host}, pid {beat.pid})"


def _at(beat: Beat) -> str:
    return f" ({beat.line})" if beat.line else ""
