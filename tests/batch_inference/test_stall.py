from __future__ import annotations

import pytest

from raytl.batch_inference.sizing import Sizing
from raytl.batch_inference.stall import Limits, Situation, fits, is_stuck, waits_for

TWO = Sizing(2, 1)
LIMITS = Limits(start_s=180, progress_s=600)


def seen(
    started: int = 0,
    idle_s: float = 40,
    free: tuple[float, float] = (0, 0),
    had_room: bool = False,
    current: dict[str, int] | None = None,
) -> Situation:
    return Situation(started, had_room, idle_s, [(2, 0)], [free], current or {})


def test_it_says_that_something_else_holds_the_cpus() -> None:
    assert waits_for(seen(), TWO) == (
        "no actor has started for 40 s; wanted: 2 actors of 1 CPU each; free: 0 of 2 CPUs; something else holds the CPUs or GPUs"
    )


@pytest.mark.parametrize("situation", [seen(had_room=True), seen(free=(1, 0))])
def test_an_actor_that_had_its_resources_is_loading(situation: Situation) -> None:
    assert waits_for(situation, TWO).endswith("its process starts and loads the model")


def test_it_names_the_parts_that_do_not_move() -> None:
    text = waits_for(seen(2, current={"part-00003": 17, "part-00001": 0}), TWO)
    assert "in progress: part-00001 (0 photos done), part-00003 (17 photos done)" in text
    assert waits_for(seen(2), TWO).endswith("in progress: no part")


@pytest.mark.parametrize(
    ("situation", "stuck"),
    [(seen(0, 179), False), (seen(0, 181), True), (seen(1, 181), False), (seen(1, 599), False), (seen(1, 601), True)],
)
def test_starting_and_working_have_their_own_limits(situation: Situation, stuck: bool) -> None:
    assert is_stuck(situation, LIMITS) is stuck


def test_an_actor_needs_all_that_it_reserves_on_one_machine() -> None:
    assert fits([(0.5, 0), (1, 0)], TWO)
    assert not fits([(0.5, 0), (0.5, 0)], TWO)
    assert not fits([(8, 0)], Sizing(1, 1, gpus=1))
