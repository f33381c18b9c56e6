"""Progress is reported for long work only, not too often, and to its end."""

from __future__ import annotations

import pytest

from raytl.events import Recorder, Work, throttled


def reported(monkeypatch: pytest.MonkeyPatch, times: list[float], total: int, first_s: float = 1.0) -> list[int]:
    """Return how far the work was at each report; the clock is read when it begins and at each step."""
    clock = iter(times)
    monkeypatch.setattr("raytl.events.monotonic", lambda: next(clock, times[-1]))
    watcher = Recorder()
    report = throttled(watcher, first_s)
    for done in range(1, total + 1):
        report(Work("work", done, total))
    return [event.done for event in watcher.events if isinstance(event, Work)]


def test_short_work_reports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reported(monkeypatch, [0.0, 0.2, 0.4, 0.6], 4) == []


def test_of_long_work_the_first_comes_after_a_second_and_the_end_always(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reported(monkeypatch, [0.0, 0.5, 1.01, 1.05, 1.2, 1.21], 6) == [2, 4, 6]


def test_without_a_delay_the_first_and_the_last_event_always_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reported(monkeypatch, [0.0, 0.0, 0.01, 0.02], 4, first_s=0) == [1, 4]
    assert reported(monkeypatch, [0.0], 1, first_s=0) == [1]
