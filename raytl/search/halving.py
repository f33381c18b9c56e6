"""Synchronous successive halving (Jamieson & Talwalkar 2016): a cohort trains to a rung, and its best go on together.

Arithmetic on what trials have told; the asynchronous kind is Optuna's own pruner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def rungs(grace: int, reduction: int, epochs: int) -> tuple[int, ...]:
    """The epochs after which a trial waits for its cohort: grace, grace * reduction, ... below `epochs`."""
    found = []
    epoch = grace
    while epoch < epochs:
        found.append(epoch)
        epoch *= reduction
    return tuple(found)


def cohorts(asked: Sequence[int], size: int, closed: bool) -> list[Sequence[int]]:
    """The trials `asked` so far, in order, in cohorts of `size`; the last one only where it is full, or `closed`."""
    found = [asked[start : start + size] for start in range(0, len(asked), size)]
    return [cohort for cohort in found if closed or len(cohort) == size]


def verdict(
    cohort: Sequence[int], waiting: Mapping[int, float], running: Sequence[int] | Mapping[int, object], reduction: int
) -> tuple[list[int], list[int]]:
    """(trials of `cohort` that go on, trials that are stopped); nobody while one of them still runs.

    `waiting` holds the score (higher is better) of each trial that stands at a rung. One in `reduction` goes on, at least
    one; ties go to the earlier trial.
    """
    if any(number in running for number in cohort):
        return [], []
    standing = sorted((number for number in cohort if number in waiting), key=lambda n: (-waiting[n], n))
    most = max(1, len(standing) // reduction)
    return sorted(standing[:most]), sorted(standing[most:])
