"""Progress is reported for long work only, not too often, and to its end."""

from __future__ import annotations

import pytest

from raytl.events import Recorder, Work, throttled


def reported(monkeypatch: pytest.MonkeyPatch, times: list[float], total: int) -> list[int]:
    """Return `done` of each reported event; the clock is read at the start and at each step."""
    clock = iter(times)
    monkeypatch.setattr("raytl.events.monotonic", lambda: next(clock, times[-1]))
    recorder = Recorder()
    report = throttled(recorder)
    for done in range(1, total + 1):
        report(Work("work", done, total))
    return [event.done for event in recorder.events if isinstance(event, Work)]


def test_short_work_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reported(monkeypatch, [0.0, 0.2, 0.4, 0.6], 4) == []


def test_long_work_is_reported_after_a_second_and_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reported(monkeypatch, [0.0, 0.5, 1.0, 1.0, 1.05, 1.2, 1.2, 1.21], 6) == [2, 4, 6]
