"""What stays on the terminal, what moves, and what a log gets."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

from rich.console import Console

from raytl.cli.progress import QUIET_S, LiveWatcher, Pace, PlainWatcher, watching
from raytl.events import WARM_UP, EpochEnded, Message, StageOpened, Step, Work
from tests.cli.test_sweep_view import changed


@dataclass
class Clock:
    """A clock that a test advances."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def step(number: int, epoch: int = 1) -> Step:
    """A step of ten, in one of two epochs."""
    return Step(epoch, 2, number, 10, 0.5, 100.0, {"head": 1e-3}, "head")


def console(terminal: bool) -> tuple[Console, io.StringIO]:
    """A console and what is written to it."""
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=160, color_system=None), text


def test_the_rest_is_estimated_from_the_last_steps() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.left_s(20) is None
    pace.at(1)
    assert pace.left_s(20) is None
    clock.now = 4.0
    pace.at(3)
    assert pace.left_s(20) == 34.0
    pace.at(1)  # workers were lost, steps are done again
    assert pace.left_s(20) is None


def test_a_log_gets_steps_now_and_then_and_every_epoch() -> None:
    out, text = console(False)
    clock = Clock()
    watch = PlainWatcher(out, clock)
    for number in range(1, 6):
        clock.now = number * QUIET_S / 2
        watch(step(number))
    watch(EpochEnded(1, 2, {"val/accuracy": 0.5}, True, 1))
    lines = text.getvalue().splitlines()
    assert [line.split("  ")[1] for line in lines] == ["step 3/10", "step 5/10", "val accuracy 50.0 %"]


def test_a_log_gets_the_end_of_each_piece_of_work() -> None:
    out, text = console(False)
    watch = PlainWatcher(out, Clock())
    for done in range(1, 4):
        watch(Work("reading images", done, 3))
    watch(Message("done"))
    assert text.getvalue() == "reading images: 3 of 3 images\ndone\n"


def test_a_log_gets_a_trial_at_work_now_and_then_and_every_end() -> None:
    out, text = console(False)
    clock = Clock()
    watch = PlainWatcher(out, clock)
    for epoch in range(1, 6):
        clock.now = epoch * QUIET_S / 2
        watch(changed(4, "running", epoch=epoch))
    watch(changed(4, "complete", epoch=6))
    printed = re.findall(r"trial 4  (\w+ after \d)", text.getvalue())
    assert printed == ["running after 3", "running after 5", "complete after 6"]


def test_a_line_is_never_broken_or_read_as_markup() -> None:
    out, text = console(False)
    PlainWatcher(out)(Message("[red]x[/red] " * 50))
    assert text.getvalue() == "[red]x[/red] " * 50 + "\n"


def test_a_terminal_gets_bars_that_go_and_lines_that_stay() -> None:
    out, text = console(True)
    with watching(out) as watch:
        assert isinstance(watch, LiveWatcher)
        watch.bars.auto_refresh = False
        watch(Work("reading images", 1, 3))
        watch.bars.refresh()
        watch(Work("reading images", 3, 3))
        watch(StageOpened(1, "head", (), {"head": 1e-3}, 10, 100))
        watch(step(1))
        watch(step(2))
        watch.bars.refresh()
        watch(EpochEnded(1, 2, {"val/accuracy": 0.5}, True, 1))
        watch(EpochEnded(2, 2, {"val/accuracy": 0.6}, True, 2))
        assert not watch.bars.tasks
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.getvalue())
    assert "1/3 images" in plain
    assert "step 2/10 100 images/s  loss 0.500  lr head 1e-3" in plain
    assert "left" in plain
    assert plain.count("reading images: 3 of 3 images") == 1
    assert "epoch 2/2  val accuracy 60.0 %  ★ best" in plain


def test_the_bar_of_a_warm_up_is_named_and_becomes_that_of_training() -> None:
    out, _ = console(True)
    with watching(out) as watch:
        assert isinstance(watch, LiveWatcher)
        watch(Step(3, 5, 2, 4, 0.5, 100.0, {"objective": 1e-3}, WARM_UP))
        (bar,) = watch.bars.tasks
        assert (bar.description, bar.completed, bar.total) == ("warm-up 3/5", 10, 20)
        watch(step(1))
        (bar,) = watch.bars.tasks
        assert (bar.description, bar.completed, bar.total) == ("epoch 1/2", 1, 20)


def test_a_pipe_gets_plain_lines() -> None:
    out, _ = console(False)
    with watching(out) as watch:
        assert isinstance(watch, PlainWatcher)
