"""Show the progress of work that Python code started: in a terminal, in a log, or in a notebook's cell."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from rich.console import Console, RenderableType

from raytl.cli.lines import line
from raytl.cli.progress import LiveWatcher, progress_bars, watching
from raytl.cli.sweep_view import SweepView, watching_sweep
from raytl.cli.terminal import Terminal
from raytl.events import Event, OnEvent, Step, TrialChanged, Work
from raytl.sanitize import printable, redacted
from raytl.throttle import Throttle

_WIDTH = 110
_EVERY_S = 0.25
Show = Callable[[str], None]


@contextmanager
def watched(progress: bool, on_event: OnEvent | None = None, sweep: bool = False) -> Iterator[OnEvent]:
    """Yield a watcher that shows events if `progress`, and passes each one to `on_event` too."""
    with _display(sweep) if progress else _nothing() as display:
        yield _both(display, on_event) if on_event else display


@contextmanager
def _nothing() -> Iterator[OnEvent]:
    yield lambda event: None


def _both(first: OnEvent, second: OnEvent) -> OnEvent:
    def emit(event: Event) -> None:
        first(event)
        second(event)

    return emit


@contextmanager
def _display(sweep: bool) -> Iterator[OnEvent]:
    console = Terminal.open().err
    if console.is_jupyter:
        with in_cell(_replaced_output(), sweep) as watcher:
            yield watcher
        return
    with (watching_sweep if sweep else watching)(console) as watcher:
        yield watcher


@contextmanager
def in_cell(show: Show, sweep: bool) -> Iterator[OnEvent]:
    """Yield a watcher that keeps one text up to date with `show`: the lines so far, and below them what is running."""
    console = Console(file=io.StringIO(), width=_WIDTH, force_terminal=False, force_jupyter=False, highlight=False)
    bars, view = progress_bars(console), SweepView()
    cell = _Cell(console, show, view.render if sweep else bars.get_renderable)
    take = _taking(view, console) if sweep else LiveWatcher(bars)

    def emit(event: Event) -> None:
        take(event)
        cell.update()

    try:
        yield emit
    finally:
        cell.update(ended=True)


def _taking(view: SweepView, console: Console) -> OnEvent:
    """Return a watcher that puts lasting events on the console, and everything into the view."""

    def take(event: Event) -> None:
        view.take(event)
        if not isinstance(event, Step | Work) and not (isinstance(event, TrialChanged) and event.state == "running"):
            console.print(line(event), soft_wrap=False, overflow="ellipsis", no_wrap=True)

    return take


@dataclass
class _Cell:
    """Lines that stay and a view below them, shown as one text at most every `_EVERY_S` seconds."""

    console: Console
    show: Show
    view: Callable[[], RenderableType]
    _throttle: Throttle = field(default_factory=lambda: Throttle(_EVERY_S), init=False)

    def update(self, ended: bool = False) -> None:
        """Show the text as it is now, unless it was shown a moment ago."""
        if not (self._throttle.is_due() or ended):
            return
        lines = self.console.file.getvalue()  # type: ignore[attr-defined]
        self.show(printable(redacted(lines + ("" if ended else self._below()))))

    def _below(self) -> str:
        with self.console.capture() as capture:
            self.console.print(self.view())
        return capture.get()


def _replaced_output() -> Show:
    """Return a function that replaces the output of the current cell."""
    display: Any = import_module("IPython.display")
    handle = display.display({"text/plain": ""}, raw=True, display_id=True)

    def show(text: str) -> None:
        data: Mapping[str, str] = {"text/plain": text.rstrip("\n")}
        handle.update(data, raw=True)

    return show
