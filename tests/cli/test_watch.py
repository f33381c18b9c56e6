"""Progress for Python code: one text of a notebook's cell, replaced as the work goes on."""

from __future__ import annotations

import pytest

from raytl.cli import watch
from raytl.events import EpochEnded, Event, Message, Step, TrialChanged, Work


@pytest.fixture(autouse=True)
def every_event_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_EVERY_S", 0.0)


def step(number: int) -> Step:
    return Step(1, 2, number, 10, 0.5, 100.0, {"head": 1e-3}, "head only")


def test_a_cell_shows_lines_and_below_them_what_is_running() -> None:
    shown: list[str] = []
    with watch.in_cell(shown.append, sweep=False) as emit:
        emit(Message("3 classes"))
        emit(step(5))
        assert "3 classes" in shown[-1].splitlines()[0]
        assert "epoch 1/2" in shown[-1]
        assert "step 5/10" in shown[-1]
        emit(EpochEnded(2, 2, {"val/accuracy": 0.5}, True, 2))
    assert "step 5/10" not in shown[-1]
    assert "epoch 2/2" in shown[-1]


def test_a_cell_of_a_sweep_shows_its_trials() -> None:
    shown: list[str] = []
    with watch.in_cell(shown.append, sweep=True) as emit:
        emit(TrialChanged(4, "running", 1, 3, 0.5, 0.6, 2, 3, 8, {"transfer.unfreeze": 2}))
        assert "unfreeze 2" in shown[-1]
        emit(TrialChanged(4, "complete", 3, 3, 0.7, 0.7, 4, 4, 8, {"transfer.unfreeze": 2}))
        emit(Work("replicates", 1, 2, "runs"))
    assert "complete after 3/3" in shown[-1]


def test_the_last_text_is_shown_when_the_work_fails() -> None:
    shown: list[str] = []

    def work() -> None:
        with watch.in_cell(shown.append, sweep=False) as emit:
            emit(Message("reading"))
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        work()
    assert shown[-1] == "reading\n"


def test_names_in_a_cell_steer_nothing() -> None:
    shown: list[str] = []
    with watch.in_cell(shown.append, sweep=False) as emit:
        emit(Message("class \x1b[31mred"))
    assert "\x1b" not in shown[-1]


def test_events_reach_the_caller_with_and_without_progress(capfd: pytest.CaptureFixture[str]) -> None:
    for progress in (False, True):
        heard: list[Event] = []
        with watch.watched(progress, heard.append) as emit:
            emit(Message("hello"))
        assert heard == [Message("hello")]
        assert ("hello" in capfd.readouterr().err) is progress
