"""The ranking of the best trials."""

from __future__ import annotations

import math

import pytest

from raytl.errors import TrainingError
from raytl.search.ranking import Candidate, rank

NAN = math.nan


def trial(
    number: int, scores: tuple[float, ...], trainable: int = 100, depth: int = 1, methods: tuple[str, ...] = ()
) -> Candidate:
    return Candidate(number, {"transfer.unfreeze": depth}, trainable, depth, scores, methods)


STEADY = (0.900, 0.901, 0.902)
NEAR = (0.892, 0.897, 0.905)  # differs from STEADY by -0.008, -0.004, +0.003: the interval contains zero
FAR = (0.880, 0.881, 0.8825)  # by -0.020, -0.020, -0.0195: it does not


@pytest.mark.parametrize(
    ("candidates", "winner", "best_mean"),
    [
        pytest.param([trial(4, STEADY)], 4, 4, id="one candidate"),
        pytest.param([trial(1, STEADY, 100), trial(2, NEAR, 10)], 2, 1, id="a cheaper one within noise"),
        pytest.param([trial(1, STEADY, 100), trial(2, NEAR, 1000)], 1, 1, id="a more expensive one within noise"),
        pytest.param([trial(1, STEADY, 100), trial(2, FAR, 10)], 1, 1, id="a cheaper one outside noise"),
        pytest.param(
            [trial(1, STEADY, 100), trial(2, NEAR, 10), trial(3, NEAR, 5), trial(4, FAR, 1)],
            3,
            1,
            id="the cheapest of those within noise",
        ),
        pytest.param([trial(1, STEADY, 100, 3), trial(2, NEAR, 100, 2)], 2, 1, id="as many parameters, shallower"),
        pytest.param([trial(1, STEADY, 100, 3), trial(2, STEADY, 10, 1)], 2, 2, id="equal scores"),
        pytest.param([trial(1, STEADY, methods=("few.method",)), trial(2, NEAR)], 2, 1, id="no method, within noise"),
        pytest.param([trial(1, STEADY, methods=("few.method",)), trial(2, FAR)], 1, 1, id="no method, outside noise"),
        pytest.param(
            [trial(1, STEADY, 9, methods=("few.method",)), trial(2, NEAR, 99, 2)], 2, 1, id="no method, deeper"
        ),
        pytest.param(
            [trial(1, STEADY, 99, 2), trial(2, NEAR, 9, methods=("few.method",))], 1, 1, id="a method, cheaper"
        ),
        pytest.param([trial(2, STEADY), trial(1, STEADY)], 1, 1, id="all equal: the earlier"),
        pytest.param([trial(1, (0.90,), 100), trial(2, (0.89,), 10)], 1, 1, id="one seed"),
        pytest.param([trial(1, (0.9005,), 100), trial(2, (0.90,), 10)], 2, 1, id="one seed, below the floor"),
        pytest.param(
            [trial(1, (0.9005, 0.9105, 0.9205), 100), trial(2, (0.90, 0.91, 0.92), 10)],
            2,
            1,
            id="a steady difference below the floor",
        ),
        pytest.param(
            [trial(1, (0.92, 0.96, 0.98), 100), trial(2, (0.91, 0.89, 0.86), 10)],
            1,
            1,
            id="noisy, but above the ceiling",
        ),
        pytest.param(
            [trial(1, (0.90, NAN, 0.91), 100), trial(2, (NAN, 0.895, 0.905), 10)],
            2,
            1,
            id="one common seed: Welch's interval",
        ),
        pytest.param(
            [trial(1, (0.9, NAN, 0.9), 100), trial(2, (NAN, 0.89, 0.89), 10)],
            1,
            1,
            id="one common seed, no variance",
        ),
        pytest.param([trial(1, (0.90, NAN)), trial(2, (NAN, NAN), 10)], 1, 1, id="a candidate without a score"),
        pytest.param([trial(1, STEADY, 100), trial(2, (0.895, NAN, NAN), 10)], 1, 1, id="too few runs left"),
        pytest.param([trial(1, (0.9, math.inf)), trial(2, (0.95, 0.95))], 2, 2, id="infinite is a failure"),
    ],
)
def test_the_winner(candidates: list[Candidate], winner: int, best_mean: int) -> None:
    for order in (candidates, candidates[::-1]):
        ranking = rank(order, lower_is_better=False)
        assert (ranking.winner, ranking.best_mean) == (winner, best_mean)


@pytest.mark.parametrize(
    ("scores", "winner", "best_mean"),
    [((0.30, 0.31, 0.32), 2, 2), ((0.402, 0.401, 0.41), 2, 1), ((0.6, 0.6, 0.6), 1, 1)],
)
def test_of_losses_the_lowest_mean_is_best(scores: tuple[float, ...], winner: int, best_mean: int) -> None:
    ranking = rank([trial(1, (0.400, 0.402, 0.401), 100), trial(2, scores, 10)], lower_is_better=True)
    assert (ranking.winner, ranking.best_mean) == (winner, best_mean)


def test_standings_are_in_order_of_the_mean_with_their_t_intervals() -> None:
    """Of 0.5, 0.6, 0.7: mean 0.6, standard error 0.1/sqrt(3), t(0.975, 2) = 4.3027."""
    ranking = rank([trial(1, (0.5,)), trial(2, (0.5, 0.6, 0.7)), trial(3, (NAN,))], lower_is_better=False)
    first, second = ranking.order
    assert (first.candidate.number, second.candidate.number) == (2, 1)
    assert first.mean == pytest.approx(0.6)
    assert first.low == pytest.approx(0.6 - 0.43027 / math.sqrt(3), abs=1e-5)
    assert first.high == pytest.approx(0.6 + 0.43027 / math.sqrt(3), abs=1e-5)
    assert (second.mean, second.low, second.high) == (0.5, None, None)


@pytest.mark.parametrize(
    ("scores", "lower_is_better", "low", "high"),
    [
        pytest.param((0.98, 1.0), False, 0.8629, 1.0, id="a fraction ends at 1"),
        pytest.param((0.02, 0.0), False, 0.0, 0.1371, id="a fraction begins at 0"),
        pytest.param((0.1, 2.1), True, 0.0, 13.8062, id="a loss begins at 0 and has no upper bound"),
    ],
)
def test_an_interval_ends_where_its_metric_does(
    scores: tuple[float, ...], lower_is_better: bool, low: float, high: float
) -> None:
    """Of two scores that differ by d: the mean +- d/2 x t(0.975, 1) = 12.7062."""
    (standing,) = rank([trial(1, scores)], lower_is_better).order
    assert (standing.low, standing.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_a_lower_confidence_makes_intervals_narrower_and_noise_smaller() -> None:
    candidates = [trial(1, STEADY, 100), trial(2, NEAR, 10)]
    wide, narrow = (rank(candidates, lower_is_better=False, confidence=c) for c in (0.95, 0.1))
    assert (wide.winner, narrow.winner) == (2, 1)
    assert (narrow.order[0].high or 0) < (wide.order[0].high or 0)


@pytest.mark.parametrize(
    ("candidates", "reason"),
    [
        (
            [trial(1, STEADY, 11_000), trial(2, NEAR, 1_000)],
            "trial 1 has the best mean (0.9010), trial 2 (0.8980) is within noise of it (they differ by 0.0030, \u00b1 0.0138) "
            "and trains 1,000 parameters instead of 11,000",
        ),
        (
            [trial(1, (0.9005,), depth=3), trial(2, (0.9,), depth=2)],
            "trial 1 has the best mean (0.9005), trial 2 (0.9000) is within noise of it (they differ by 0.0005, one seed) "
            "and is shallower (depth 2 instead of 3)",
        ),
        (
            [trial(1, STEADY, methods=("few.method", "adapt.method")), trial(2, NEAR, methods=("few.method",))],
            "trial 1 has the best mean (0.9010), trial 2 (0.8980) is within noise of it (they differ by 0.0030, \u00b1 0.0138) "
            "and has the methods of few.method alone, not those of few.method, adapt.method",
        ),
        (
            [trial(1, STEADY, 100), trial(2, FAR, 10)],
            "trial 1 has the best mean (0.9010 over 3 seeds), and no cheaper one is within noise of it",
        ),
        (
            [trial(1, (0.9,)), trial(2, (0.8,))],
            "trial 1 has the best score (0.9000); the noise of one seed is unknown",
        ),
        (
            [trial(1, (0.9, NAN)), trial(2, (NAN, NAN))],
            "trial 1 is the only one with a score (0.9000 over 1 seed); 1 of the 2 runs of trial 1 failed; trial 2 is excluded, "
            "as it has no score",
        ),
    ],
)
def test_the_reason_has_numbers(candidates: list[Candidate], reason: str) -> None:
    assert rank(candidates, lower_is_better=False).reason == reason


@pytest.mark.parametrize("candidates", [[], [trial(1, (NAN,)), trial(2, ())]])
def test_no_scores_at_all_are_an_error(candidates: list[Candidate]) -> None:
    with pytest.raises(TrainingError, match=f"none of the {len(candidates)} best trials has a finite score"):
        rank(candidates, lower_is_better=False)
