"""Ticks by the wall clock, with a fake clock that advances while it is waited for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import pytest

from raytl.retraining.cron import schedule
from raytl.retraining.watch import LONGEST_WAIT_S, due_times


@dataclass
class Clock:
    """A clock that advances while it is waited for."""

    now_s: float

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_s)

    def wait(self, seconds: float) -> None:
        assert seconds <= LONGEST_WAIT_S, "a clock that was adjusted is read again"
        self.now_s += seconds


@pytest.fixture(autouse=True)
def central_europe(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the time zone."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_times_that_pass_during_a_tick_are_skipped() -> None:
    clock, announced, began = Clock(datetime(2026, 11, 20, 5, 59, 30).timestamp()), list[str](), list[str]()
    due = due_times(
        schedule("0 6-8 * * *"), lambda at: announced.append(f"{at:%d %H:%M}"), now=clock.now, wait=clock.wait
    )
    for _ in islice(due, 4):
        began.append(f"{clock.now():%d %H:%M}")
        clock.now_s += 90 * 60 if len(began) == 1 else 60
    assert began == announced == ["20 06:00", "20 08:00", "21 06:00", "21 07:00"]


@pytest.mark.parametrize(
    ("start", "expression", "expected"),
    [
        (datetime(2026, 10, 24, 5), "0 6 * * *", ["24 06:00 CEST", "25 06:00 CET", "26 06:00 CET"]),
        (datetime(2026, 3, 28, 5), "0 6 * * *", ["28 06:00 CET", "29 06:00 CEST", "30 06:00 CEST"]),
        (datetime(2026, 3, 28, 5), "30 2 * * *", ["29 03:30 CEST", "30 02:30 CEST"]),
        (datetime(2026, 10, 25, 2, 15, fold=1), "*/30 2-3 25 * *", ["25 02:30 CET", "25 03:00 CET", "25 03:30 CET"]),
    ],
)
def test_ticks_go_by_the_clock_on_the_wall_when_summer_comes_and_goes(
    start: datetime, expression: str, expected: list[str]
) -> None:
    clock, began = Clock(start.timestamp()), list[str]()
    for _ in islice(due_times(schedule(expression), lambda _: None, now=clock.now, wait=clock.wait), len(expected)):
        began.append(f"{clock.now().astimezone():%d %H:%M %Z}")
        clock.now_s += 10
    assert began == expected
