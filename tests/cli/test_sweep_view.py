"""The live table of a sweep: calm, narrow enough, and right."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from raytl.cli.lines import line
from raytl.cli.sweep_view import SweepView
from raytl.events import TrialChanged

OVERRIDES = {"transfer.unfreeze": 3, "optim.lr": 0.00123456, "augment.strength": 0.5}


def changed(number: int, state: str, epoch: int = 1, done: int = 0, reason: str = "") -> TrialChanged:
    return TrialChanged(number, state, epoch, 4, 0.9, 0.95, 7, done, 2000, OVERRIDES, "frozen below 3", reason)


@pytest.mark.parametrize("width", [80, 120])
def test_running_trials_counts_and_the_best_fit_the_terminal(width: int) -> None:
    view = SweepView()
    for number in range(40):
        view.take(changed(number, "running"))
    for number in range(30):
        view.take(changed(number, "pruned" if number % 3 else "complete", done=number + 1))
    for number in range(30, 34):
        view.take(changed(number, "waiting", done=30))
    text = io.StringIO()
    Console(file=text, width=width, color_system=None).print(view.render())
    lines = text.getvalue().splitlines()
    assert len(lines) < 20
    assert all(len(one) <= width for one in lines)
    assert "30/2000 trials  6 running  10 complete, 20 pruned" in text.getvalue()
    assert "best 0.9500 by trial 7" in text.getvalue()
    assert "trial 39  epoch 1/4  0.9000  unfreeze 3" in text.getvalue()


def test_a_trial_in_one_line() -> None:
    found = line(changed(12, "failed", done=13, reason="the loss became nan")).plain
    assert found.startswith(" 13/2000  trial 12  failed after 1/4 0.9000 (best 0.9500 by 7)  unfreeze 3, lr 0.00123")
    assert found.endswith("[frozen below 3]  the loss became nan")
