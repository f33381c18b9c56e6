"""The ranking of the best trials: by their mean over seeds; within noise, the one with fewer methods wins, and of those with as
many, the cheaper one."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raytl.errors import TrainingError

CONFIDENCE = 0.95
FLOOR = 0.001
"""A smaller difference of means counts as noise, whatever the seeds say."""
CEILING = 0.02
"""A larger difference of means never counts as noise: with few seeds, nearly every interval contains zero."""
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Candidate:
    """A trial with its score for each seed, its own first; NaN for a failed run. `trainable`, `depth` and the keys of the
    `methods` that it adds to training on labels are its cost."""

    number: int
    overrides: dict[str, Any]
    trainable: int
    depth: int
    scores: tuple[float, ...]
    methods: tuple[str, ...] = ()

    @property
    def finite_scores(self) -> tuple[float, ...]:
        """The scores of runs that did not fail."""
        return tuple(score for score in self.scores if math.isfinite(score))


@dataclass(frozen=True)
class Standing:
    """A candidate's mean and its interval, within the range of the metric (None with one score)."""

    candidate: Candidate
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Ranking:
    """Standings, best mean first; the numbers of the `winner` and of the best mean, and the reason in one sentence."""

    order: tuple[Standing, ...]
    winner: int
    best_mean: int
    reason: str


def rank(
    candidates: Sequence[Candidate],
    lower_is_better: bool,
    confidence: float = CONFIDENCE,
    floor: float = FLOOR,
    ceiling: float = CEILING,
) -> Ranking:
    """Rank `candidates`: the best mean wins, unless a cheaper one, first by its methods, is within noise of it; of several, the
    cheapest.

    Within noise: the means differ by at most `floor`, or by at most `ceiling` and the t-interval of the difference
    (paired by seed with two or more common seeds, else Welch's) contains zero. Failed runs are excluded, and the reason
    mentions them.

    Raises:
        TrainingError: no candidate has a score.
    """
    sign = -1.0 if lower_is_better else 1.0
    upper = math.inf if lower_is_better else 1.0  # losses and costs have no upper bound; other metrics are at most 1
    standings = sorted(
        (_standing(candidate, confidence, upper) for candidate in candidates if candidate.finite_scores),
        key=lambda standing: (-sign * standing.mean, *_cost(standing.candidate)),
    )
    if not standings:
        raise TrainingError(
            f"ranking: none of the {len(candidates)} best trials has a finite score; expected at least one; see why their "
            "runs failed"
        )
    best = standings[0]
    cheaper = [s for s in standings[1:] if _cost(s.candidate)[:3] < _cost(best.candidate)[:3]]
    gaps = [(s, _gap(best.candidate, s.candidate, confidence)) for s in cheaper]
    rivals = [(s, gap) for s, gap in gaps if _within(gap, floor, ceiling)]
    winner, gap = min(rivals, key=lambda rival: _cost(rival[0].candidate), default=(best, None))
    why = _why(best, standings) if gap is None else _why_cheaper(best, winner, gap)
    reason = "; ".join([why, *_failures(candidates)])
    return Ranking(tuple(standings), winner.candidate.number, best.candidate.number, reason)


def _cost(candidate: Candidate) -> tuple[int, int, int, int]:
    return len(candidate.methods), candidate.trainable, candidate.depth, candidate.number


def _standing(candidate: Candidate, confidence: float, upper: float) -> Standing:
    mean = statistics.fmean(candidate.finite_scores)
    half = _half(candidate.finite_scores, confidence)
    if half is None:
        return Standing(candidate, mean, None, None)
    return Standing(candidate, mean, max(0.0, mean - half), min(upper, mean + half))


@dataclass(frozen=True, slots=True)
class _Gap:
    """The mean difference of two candidates, and half its t-interval (None with too few scores)."""

    mean: float
    half: float | None


def _gap(one: Candidate, other: Candidate, confidence: float) -> _Gap:
    pairs = zip(one.scores, other.scores, strict=False)
    differences = [a - b for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
    if len(differences) > 1:
        return _Gap(statistics.fmean(differences), _half(differences, confidence))
    return _Gap(
        statistics.fmean(one.finite_scores) - statistics.fmean(other.finite_scores),
        _welch(one.finite_scores, other.finite_scores, confidence),
    )


def _within(gap: _Gap, floor: float, ceiling: float) -> bool:
    size = abs(gap.mean)
    return size <= floor + _ROUNDING or (gap.half is not None and size <= min(gap.half, ceiling))


def _why(best: Standing, standings: Sequence[Standing]) -> str:
    number, seeds = best.candidate.number, len(best.candidate.finite_scores)
    if len(standings) == 1:
        return f"trial {number} is the only one with a score ({best.mean:.4f} over {_count(seeds, 'seed')})"
    if seeds == 1:
        return f"trial {number} has the best score ({best.mean:.4f}); the noise of one seed is unknown"
    return f"trial {number} has the best mean ({best.mean:.4f} over {seeds} seeds), and no cheaper one is within noise of it"


def _why_cheaper(best: Standing, winner: Standing, gap: _Gap) -> str:
    one, other = best.candidate, winner.candidate
    interval = "one seed" if gap.half is None else f"\u00b1 {gap.half:.4f}"
    return (
        f"trial {one.number} has the best mean ({best.mean:.4f}), trial {other.number} ({winner.mean:.4f}) is within noise of "
        f"it (they differ by {abs(gap.mean):.4f}, {interval}) and {_saved(one, other)}"
    )


def _saved(one: Candidate, other: Candidate) -> str:
    """Return how `other` is cheaper than `one`, as a phrase."""
    if len(other.methods) < len(one.methods):
        methods = f"the methods of {', '.join(other.methods)} alone" if other.methods else "no method beside the labels"
        return f"has {methods}, not those of {', '.join(one.methods)}"
    if other.trainable < one.trainable:
        return f"trains {other.trainable:,} parameters instead of {one.trainable:,}"
    return f"is shallower (depth {other.depth} instead of {one.depth})"


def _failures(candidates: Sequence[Candidate]) -> list[str]:
    """Return a phrase for each candidate with failed runs."""
    phrases = []
    for candidate in candidates:
        failed = len(candidate.scores) - len(candidate.finite_scores)
        if not candidate.finite_scores:
            phrases.append(f"trial {candidate.number} is excluded, as it has no score")
        elif failed:
            phrases.append(f"{failed} of the {_count(len(candidate.scores), 'run')} of trial {candidate.number} failed")
    return phrases


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _welch(one: Sequence[float], other: Sequence[float], confidence: float) -> float | None:
    """Return half the t-interval of the difference of the means of unpaired scores; None with fewer than two each."""
    if len(one) < 2 or len(other) < 2:
        return None
    a, b = (statistics.variance(values) / len(values) for values in (one, other))
    if a + b == 0.0:
        return 0.0
    freedom = (a + b) ** 2 / (a**2 / (len(one) - 1) + b**2 / (len(other) - 1))
    return _quantile(confidence, freedom) * math.sqrt(a + b)


def _half(values: Sequence[float], confidence: float) -> float | None:
    """Return half the t-interval of the mean; None with fewer than two values."""
    if len(values) < 2:
        return None
    return _quantile(confidence, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))


def _quantile(confidence: float, freedom: float) -> float:
    """Return the quantile of Student's t for an interval around a mean."""
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, freedom))
