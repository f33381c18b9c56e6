"""Show the events of a run on standard error: live bars on a terminal, occasional plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text

from raytl.cli.lines import line, rates
from raytl.cli.numbers import duration
from raytl.events import WARM_UP, EpochEnded, Event, OnEvent, StageOpened, Step, TrialChanged, Work
from raytl.throttle import Throttle

QUIET_S = 15.0
"""Minimum time between two plain lines about steps, work or running trials."""
_WINDOW = 60

Clock = Callable[[], float]


@contextmanager
def watching(console: Console) -> Iterator[OnEvent]:
    """Yield the watcher that fits the console; its bars are removed when the block ends, its lines stay."""
    if not console.is_terminal:
        yield PlainWatcher(console)
        return
    with progress_bars(console) as bars:
        yield LiveWatcher(bars)


@dataclass
class Pace:
    """An estimate of the remaining time from the last steps."""

    clock: Clock = time.monotonic
    _seen: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_WINDOW))

    def at(self, position: int) -> None:
        """Record that `position` was reached now; a smaller position than before resets the estimate."""
        if self._seen and position < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((self.clock(), position))

    def left_s(self, total: int) -> float | None:
        """Return the seconds until `total`; None before there are two positions."""
        if not self._seen:
            return None
        (first_s, first), (last_s, last) = self._seen[0], self._seen[-1]
        return (last_s - first_s) / (last - first) * (total - last) if last > first else None


@dataclass
class PlainWatcher:
    """Plain lines for logs: every event, except that steps, work and running trials are throttled."""

    console: Console
    clock: Clock = time.monotonic
    _throttles: dict[str, Throttle] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Step) and not self._due("step"):
            return
        if isinstance(event, Work) and event.done < event.total and not self._due(event.name):
            return
        if isinstance(event, TrialChanged) and event.state == "running" and not self._due("trial"):
            return
        self.console.print(line(event), soft_wrap=True)

    def _due(self, name: str) -> bool:
        if name not in self._throttles:  # the first event is not printed: short work needs no lines
            self._throttles[name] = Throttle(QUIET_S, self.clock, last=self.clock())
        return self._throttles[name].is_due()


@dataclass
class LiveWatcher:
    """Lines above live bars: one bar for each piece of work, one for training."""

    bars: Progress
    pace: Pace = field(default_factory=Pace)
    _work: dict[str, TaskID] = field(default_factory=dict)
    _training: TaskID | None = None

    def __call__(self, event: Event) -> None:
        match event:
            case Step():
                self._step(event)
            case Work():
                self._count(event)
            case _:
                if isinstance(event, StageOpened):  # the speed changes from here on
                    self.pace = Pace(self.pace.clock)
                self.bars.console.print(line(event), soft_wrap=True)
                if isinstance(event, EpochEnded) and event.epoch == event.epochs:
                    self._end_training()

    def _step(self, step: Step) -> None:
        done = (step.epoch - 1) * step.steps + step.step
        total = step.epochs * step.steps
        self.pace.at(done)
        left = self.pace.left_s(total)
        if self._training is None:
            self._training = self.bars.add_task("", total=total, count="", detail="", left="")
        self.bars.update(
            self._training,
            description=f"{WARM_UP if step.stage == WARM_UP else 'epoch'} {step.epoch}/{step.epochs}",
            total=total,
            completed=done,
            count=f"step {step.step}/{step.steps}",
            detail=f"{step.images_per_s:,.0f} images/s  loss {step.loss:.3f}  lr {rates(step.rates)}",
            left="" if left is None else f"≤ {duration(left)} left",
        )

    def _count(self, work: Work) -> None:
        if work.name not in self._work:
            self._work[work.name] = self.bars.add_task(work.name, total=work.total, count="", detail="", left=None)
        task = self._work[work.name]
        text = f"{work.done:,}/{work.total:,} {work.unit}" if work.unit else ""
        rate = f"{work.per_s:,.0f}/s" if work.per_s else ""
        self.bars.update(task, total=work.total, completed=work.done, count=text, detail=rate, left=None)
        if work.done >= work.total:
            self.bars.remove_task(self._work.pop(work.name))
            self.bars.console.print(line(work), soft_wrap=True)

    def _end_training(self) -> None:
        if self._training is not None:
            self.bars.remove_task(self._training)
            self._training = None


class _Left(ProgressColumn):
    """The remaining time: our own estimate if the task has one, else rich's."""

    def render(self, task: Task) -> Text:
        own = task.fields.get("left")
        if own is not None:
            return Text(own, style="cyan")
        return Text("" if task.time_remaining is None else f"{duration(task.time_remaining)} left", style="cyan")


def progress_bars(console: Console) -> Progress:
    """Return bars for the console, not yet started."""
    return Progress(
        SpinnerColumn("line" if console.options.ascii_only else "dots"),
        TextColumn("{task.description}", style="bold"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[detail]}", style="dim"),
        _Left(),
        console=console,
        transient=True,
        refresh_per_second=8,
    )
