"""The anytime-valid test: exact without a change, quick with one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest

from raytl.metrics.anytime import BETS, Stream, Wealth, bet_returns, conformal_p, reserve


def test_every_bet_is_fair() -> None:
    for bet in range(BETS):
        total = quad(lambda p, bet=bet: float(bet_returns(np.array([p]))[0, bet]), 1e-6, 1 - 1e-6)[0]
        assert total == pytest.approx(1.0, abs=0.01)


def test_p_values_of_an_exchangeable_stream_are_uniform_and_independent_with_few_images_retained() -> None:
    rng = np.random.default_rng(0)
    p = []
    for _ in range(300):
        stream = Stream.start(rng.normal(size=(5, 1)))
        for _ in range(10):
            row = rng.normal(size=1)
            p.append(float(conformal_p(row, stream.retained, rng)[0]))
            stream = stream.after(row, rng, limit=6)
    assert kstest(p, "uniform").pvalue > 0.01
    steps = np.array(p).reshape(300, 10)
    assert abs(np.corrcoef(steps[:, :-1].ravel(), steps[:, 1:].ravel())[0, 1]) < 0.05


def test_ties_are_broken_at_random() -> None:
    rng = np.random.default_rng(0)
    p = [float(conformal_p(np.zeros(1), np.zeros((9, 1)), rng)[0]) for _ in range(500)]
    assert kstest(p, "uniform").pvalue > 0.01


def test_the_mean_wealth_of_fair_streams_is_one() -> None:
    middles = (np.arange(20_000) + 0.5) / 20_000
    wealth = Wealth.start(20_000).after(middles)
    assert wealth.value == pytest.approx(1.0, abs=0.005)
    rng = np.random.default_rng(0)
    for _ in range(5):
        wealth = wealth.after(rng.permutation(middles))
    assert wealth.value == pytest.approx(1.0, abs=0.03)


def test_few_streams_without_a_change_ever_raise_an_alarm() -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(40):
        stream = Stream.start(rng.normal(size=(50, 3)))
        for _ in range(100):
            stream = stream.after(rng.normal(size=3), rng, limit=200)
        alarms += stream.is_alarm(0.05)
    assert alarms <= 5  # of 2 expected at most


@pytest.mark.parametrize(
    ("shift", "scale", "most"), [(1.5, 1.0, 40), (-1.5, 1.0, 40), (0.0, 4.0, 150), (0.0, 0.1, 150)]
)
@pytest.mark.parametrize("before", [0, 400])
def test_a_change_of_one_statistic_is_found_early_and_late(shift: float, scale: float, most: int, before: int) -> None:
    rng = np.random.default_rng(1)
    stream = Stream.start(rng.normal(size=(200, 4)))
    for _ in range(before):
        stream = stream.after(rng.normal(size=4), rng, limit=1000)
    assert not stream.is_alarm(0.05)
    for _ in range(most + before // 4):
        row = rng.normal(size=4)
        row[2] = row[2] * scale + shift
        stream = stream.after(row, rng, limit=1000)
        if stream.is_alarm(0.05):
            break
    assert stream.is_alarm(0.05) and stream.peak_at > before
    assert int(stream.wealth.by_statistic.argmax()) == 2


def test_the_reserve_is_never_used_up() -> None:
    values = [reserve(images) for images in (0, 1, 10**3, 10**9)]
    assert values == sorted(values, reverse=True) and values[0] == 0.5 and values[-1] > 0.02


def test_a_peak_stays_and_at_most_so_many_images_are_retained() -> None:
    rng = np.random.default_rng(0)
    stream = Stream.start(np.zeros((3, 2)))
    for _ in range(20):
        stream = stream.after(np.ones(2), rng, limit=8)
    assert stream.retained.shape == (8, 2) and stream.wealth.images == 20
    assert stream.peak >= stream.wealth.value and 1 <= stream.peak_at <= 20
