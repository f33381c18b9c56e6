"""Show the events of a sweep on standard error: a live table on a terminal, a line per finished trial elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from raytl.cli.lines import line, values
from raytl.cli.numbers import duration
from raytl.cli.progress import PlainWatcher
from raytl.events import EpochEnded, Event, OnEvent, Step, TrialChanged, Work

_MOST_RUNNING = 8
_ENDED = ("complete", "pruned", "failed")
_WAITING = "waiting"
"""The state of a trial that waits at a rung: it has no process."""


@contextmanager
def watching_sweep(console: Console) -> Iterator[OnEvent]:
    """Yield the watcher that fits the console."""
    if not console.is_terminal:
        yield PlainWatcher(console)
        return
    view = SweepView()
    with Live(get_renderable=view.render, console=console, refresh_per_second=4, transient=True) as live:

        def show(event: Event) -> None:
            view.take(event)
            if not isinstance(event, Step | Work | EpochEnded) and not (
                isinstance(event, TrialChanged) and event.state == "running"
            ):
                live.console.print(line(event), soft_wrap=False, overflow="ellipsis", no_wrap=True)

        yield show


@dataclass
class SweepView:
    """The live table of a sweep."""

    _running: dict[int, TrialChanged] = field(default_factory=dict)
    _states: Counter[str] = field(default_factory=Counter)
    _last: TrialChanged | None = None
    _shared: int = 0
    _note: str = ""
    _started: float = field(default_factory=time.monotonic)
    _done_before: int | None = None

    def take(self, event: Event) -> None:
        """Update the view with an event."""
        match event:
            case TrialChanged():
                if self._done_before is None:
                    self._done_before = event.done
                self._last, self._note = event, ""
                if event.state in _ENDED:
                    self._running.pop(event.number, None)
                    self._states[event.state] += 1
                    self._shared += event.features != "none"
                elif event.state == _WAITING:
                    self._running.pop(event.number, None)
                else:
                    self._running[event.number] = event
            case Step():
                self._note = f"epoch {event.epoch}/{event.epochs}, {event.images_per_s:,.0f} images/s"
            case Work():
                self._note = f"{event.name}: {event.done:,} of {event.total:,} {event.unit}"

    def render(self) -> RenderableType:
        """Return the bar, the counts, the best trial and the running trials."""
        if self._last is None:
            return Text(self._note, style="dim")
        last = self._last
        counts = ", ".join(f"{self._states[state]} {state}" for state in _ENDED if self._states[state])
        head = Text(f"{last.done}/{last.trials} trials  {len(self._running)} running  {counts}  {self._left(last)}")
        best = Text("" if last.best is None else f"best {last.best:.4f} by trial {last.best_number}", style="green")
        shared = Text(f"{self._shared} of them used cached features", style="dim") if self._shared else Text()
        bar = ProgressBar(total=max(1, last.trials), completed=last.done, width=40)
        return Group(bar, head, best, shared, self._table(), Text(self._note, style="dim"))

    def _left(self, last: TrialChanged) -> str:
        done = last.done - (self._done_before or 0)
        if done < 1:
            return ""
        left = (time.monotonic() - self._started) / done * (last.trials - last.done)
        return f"about {duration(left)} left"

    def _table(self) -> Table:
        grid = Table.grid(padding=(0, 2))
        for number, event in list(self._running.items())[-_MOST_RUNNING:]:
            value = "" if event.value is None else f"{event.value:.4f}"
            place = f"epoch {event.epoch}/{event.epochs}"
            grid.add_row(
                f"trial {number}", place, value, Text(values(event.overrides), overflow="ellipsis", no_wrap=True)
            )
        return grid
