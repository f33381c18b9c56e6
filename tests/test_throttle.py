"""An action runs at most once an interval."""

from __future__ import annotations

from raytl.throttle import Throttle


def test_an_action_is_due_at_once_and_then_once_an_interval() -> None:
    times = iter([0.0, 0.5, 1.0, 1.5, 2.5])
    throttle = Throttle(1.0, lambda: next(times))
    assert [throttle.is_due() for _ in range(5)] == [True, False, True, False, True]


def test_an_action_that_ran_before_waits_for_the_rest_of_the_interval() -> None:
    times = iter([10.5, 11.0])
    throttle = Throttle(1.0, lambda: next(times), last=10.0)
    assert [throttle.is_due(), throttle.is_due()] == [False, True]


def test_without_an_interval_an_action_is_always_due() -> None:
    throttle = Throttle(0.0, lambda: 3.0)
    assert throttle.is_due() and throttle.is_due()
