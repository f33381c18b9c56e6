"""The cost of a sweep, projected from the cost of an epoch."""

from __future__ import annotations

import pytest

from raytl.config.budget import BudgetConfig
from raytl.config.search import SearchConfig
from raytl.search.budget import idle_budget
from raytl.search.plan import DepthCost, TrialShape
from raytl.search.preflight import gpu_hours, projected

HOUR_S = 3600.0
COSTS = (DepthCost(1, 10, HOUR_S, False, 0, 0.0, HOUR_S),)


@pytest.mark.parametrize(("concurrency", "hours"), [(1, 5), (2, 4), (64, 4)])
def test_gpu_hours_do_not_grow_with_gpus_that_have_no_run(concurrency: int, hours: int) -> None:
    search = SearchConfig.model_validate({"scheduler": "none", "replicates": {"top": 1, "seeds": 2}})
    wall, in_turn = (projected(COSTS, 2, count, search, 1, 2) for count in (concurrency, 1))
    assert wall.high / HOUR_S == pytest.approx(hours, abs=0.01)
    assert gpu_hours(in_turn, TrialShape(2, 1, 0.5)).high == pytest.approx(5, abs=0.01)


@pytest.mark.parametrize(("hours", "gpus", "is_idle"), [(2.0, 0.0, True), (2.0, 0.5, False), (None, 0.0, False)])
def test_a_budget_of_gpu_hours_without_gpus_is_idle(hours: float | None, gpus: float, is_idle: bool) -> None:
    assert bool(idle_budget(BudgetConfig(gpu_hours=hours), TrialShape(1, 1, gpus))) is is_idle
