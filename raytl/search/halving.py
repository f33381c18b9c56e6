"""Synchronous successive halving (Jamieson & Talwalkar 2016): a cohort trains to a rung, and its best resume together.

Arithmetic on the scores of trials; the asynchronous kind is Optuna's own pruner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def rungs(grace: int, reduction: int, epochs: int) -> tuple[int, ...]:
    """Return the epochs after which a trial waits for its cohort: grace, grace * reduction, ... below `epochs`."""
    ends = []
    epoch = grace
    while epoch < epochs:
        ends.append(epoch)
        epoch *= reduction
    return tuple(ends)


def cohorts(suggested: Sequence[int], size: int, closed: bool) -> list[Sequence[int]]:
    """Return the trials `suggested` so far, in order, in cohorts of `size`; the last one only if it is full, or `closed`."""
    chunks = [suggested[start : start + size] for start in range(0, len(suggested), size)]
    return [cohort for cohort in chunks if closed or len(cohort) == size]


def verdict(
    cohort: Sequence[int], waiting: Mapping[int, float], running: Sequence[int] | Mapping[int, object], reduction: int
) -> tuple[list[int], list[int]]:
    """Return the trials of `cohort` to promote and those to prune; none while one of them is still running.

    `waiting` holds the score (higher is better) of each trial that waits at a rung. One in `reduction` is promoted, at
    least one; of equal ones, the earlier trial.
    """
    if any(number in running for number in cohort):
        return [], []
    best_first = sorted((number for number in cohort if number in waiting), key=lambda n: (-waiting[n], n))
    count = max(1, len(best_first) // reduction)
    return sorted(best_first[:count]), sorted(best_first[count:])
