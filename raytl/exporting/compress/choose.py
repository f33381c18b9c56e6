"""Choose among measured candidates: what is too slow, the frontier, and the best. Pure functions of outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from raytl.exporting.compress.candidate import REFERENCE
from raytl.exporting.compress.outcome import Outcome, Speed


def judged(outcome: Outcome) -> Outcome:
    """Return the outcome as rejected if its verdict says so, or if it is not faster than the reference."""
    if outcome.status == "skipped":
        return outcome
    if outcome.verdict is not None and outcome.verdict.reason:
        return replace(outcome, status="rejected", reason=outcome.verdict.reason)
    if outcome.name != REFERENCE and outcome.speed is not None and outcome.speed.ratio <= 1:
        slower = f"{outcome.speed.median_ms:.2f} ms a call, not faster than {REFERENCE} on this machine"
        return replace(outcome, status="rejected", reason=f"{slower} ({outcome.speed.ratio:.2f} x)")
    return outcome


def frontier(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Return the names of the kept candidates that no other one dominates in score, speed and size at once."""
    passing = [each for each in outcomes if each.status == "kept"]
    return tuple(each.name for each in passing if not any(_dominates(other, each) for other in passing))


def best(outcomes: Sequence[Outcome], target_ms: float | None) -> Outcome | None:
    """Return the kept candidate to use: within `target_ms`, the most accurate one, and of equals the fastest; without a
    target, the fastest. None if none is within the target.

    Speeds are compared as ratios to the reference, which took turns with each: medians are of different minutes.
    """
    passing = [each for each in outcomes if each.status == "kept"]
    if target_ms is None:
        return max(passing, key=lambda each: (_speed(each).ratio, _score(each)), default=None)
    fast = [each for each in passing if _speed(each).median_ms <= target_ms]
    return max(fast, key=lambda each: (_score(each), _speed(each).ratio), default=None)


def shortfall(outcomes: Sequence[Outcome], target_ms: float | None, max_drop: float) -> str:
    """Return how close the candidates came to the target; empty if one meets it."""
    if target_ms is None or best(outcomes, target_ms) is not None:
        return ""
    fastest = min((each for each in outcomes if each.status == "kept"), key=lambda e: _speed(e).median_ms, default=None)
    fast = [each for each in outcomes if each.speed is not None and each.speed.median_ms <= target_ms]
    texts = []
    if fastest is not None:
        speed = _speed(fastest).median_ms
        texts.append(
            f"the fastest that passes is {fastest.name}: {speed:.2f} ms a call, {speed / target_ms:.1f} x the target of {target_ms:g} ms"
        )
    nearest = max((each for each in fast if each.verdict is not None), key=lambda each: _least(each), default=None)
    if nearest is not None:
        texts.append(
            f"{nearest.name} is fast ({_speed(nearest).median_ms:.2f} ms) but may lose {-100 * _least(nearest):.1f} points "
            f"(allowed: {max_drop:g})"
        )
    return "; ".join(texts) or "no candidate could be measured"


def _dominates(one: Outcome, other: Outcome) -> bool:
    mine, theirs = _place(one), _place(other)
    return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))


def _place(outcome: Outcome) -> tuple[float, float, float]:
    return -_score(outcome), -_speed(outcome).ratio, float(outcome.bytes)


def _score(outcome: Outcome) -> float:
    assert outcome.verdict is not None, "`Outcome` checks that what is kept has a verdict"
    return outcome.verdict.score


def _least(outcome: Outcome) -> float:
    assert outcome.verdict is not None, "only judged candidates are compared"
    return outcome.verdict.least


def _speed(outcome: Outcome) -> Speed:
    assert outcome.speed is not None, "`Outcome` checks that what is kept has a speed"
    return outcome.speed
