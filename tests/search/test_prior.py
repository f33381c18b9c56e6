"""Earlier sweeps as values: ranks, first points, and how many of their trials count beside the sweep's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.config.space import Dimension, Space
from raytl.errors import RunError
from raytl.search import prior
from raytl.search.prior import Prior, PriorSweep, PriorTrial

SPACE = Space((Dimension("optim.lr", "log", 1e-4, 1e-2),))


def sweep(name: str, *rates: float) -> PriorSweep:
    ranks = prior.ranked([-float(index) for index in range(len(rates))])
    trials = [PriorTrial({"optim.lr": rate}, rank) for rate, rank in zip(rates, ranks, strict=True)]
    return PriorSweep(name, tuple(trials))


def test_ranks_go_from_the_best_to_the_worst() -> None:
    assert prior.ranked([0.2, 0.9, 0.9, 0.5]) == [1.0, 0.0, pytest.approx(1 / 3), pytest.approx(2 / 3)]
    assert prior.ranked([0.7]) == [0.0]
    assert prior.ranked([]) == []


def test_the_best_points_are_distinct_and_three_at_most() -> None:
    sweeps = [sweep(f"s{n}", rate) for n, rate in enumerate((1e-3, 1e-3, 2e-3, 3e-3, 4e-3))]
    assert prior.best_points(Prior((PriorSweep("empty", ()), *sweeps))) == [
        ("earlier sweep: s0", {"optim.lr": 1e-3}),
        ("earlier sweep: s2", {"optim.lr": 2e-3}),
        ("earlier sweep: s3", {"optim.lr": 3e-3}),
    ]


@pytest.mark.parametrize(("own", "count"), [(0, 0), (1, 2), (5, 10), (10, 20), (21, 20), (500, 20)])
def test_own_trials_outnumber_the_earlier_ones_as_they_grow(own: int, count: int) -> None:
    rates = tuple(1e-3 + 1e-5 * n for n in range(40))
    assert len(prior.weighed(Prior((sweep("a", *rates), sweep("b", *rates), sweep("c", *rates))), own)) == count


def test_each_earlier_sweep_has_an_equal_share_evenly_by_rank() -> None:
    rates = tuple(1e-3 + 1e-5 * n for n in range(9))
    weighed = prior.weighed(Prior((sweep("a", *rates), sweep("b", *rates))), 3)
    assert [trial.rank for trial in weighed] == [0.0, 0.375, 0.75] * 2
    assert prior.weighed(Prior(), 3) == []


def test_a_prior_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    saved = Prior((sweep("a", 1e-3, 2e-3),))
    prior.save(tmp_path, saved)
    loaded = prior.load(tmp_path)
    assert (loaded, loaded.digest) == (saved, saved.digest)
    assert loaded.text == "a (2)"


def test_a_stored_trial_outside_the_space_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"prior\.json: a: optim\.lr: found 1\.0; expected 0\.0001 to 0\.01"):
        prior.check(Prior((sweep("a", 1.0),)), tmp_path, SPACE, {})
