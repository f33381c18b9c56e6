"""What a run tells whoever watches it, as values; the terminal and the log are two readers of the same events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

from raytl.sanitize import redacted


@dataclass(frozen=True, slots=True)
class Message:
    """A line for the user; `level` is info, warning or error."""

    text: str
    level: str = "info"

    def __post_init__(self) -> None:
        """Star the secrets in the text."""
        object.__setattr__(self, "text", redacted(self.text))


@dataclass(frozen=True, slots=True)
class ImagesOpened(Message):
    """Images are ready to be trained on: `hits` of them were decoded before, `misses` had to be, or have to be."""

    hits: int = 0
    misses: int = 0


@dataclass(frozen=True, slots=True)
class Work:
    """Progress of a countable piece of work (`done` of `total` `unit`s), such as reading images; `bytes` were moved for it."""

    name: str
    done: int
    total: int
    unit: str = "images"
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class StageOpened:
    """A stage of training began at `epoch`: these parts of the network learn now, at these rates."""

    epoch: int
    name: str
    learning: tuple[str, ...]
    rates: Mapping[str, float]
    trainable: int
    total: int


@dataclass(frozen=True, slots=True)
class Step:
    """One training step was done; counts are one-based, `images_per_s` is over all workers, `ready` batches wait for the
    next (None where that is not known)."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    images_per_s: float
    rates: Mapping[str, float]
    stage: str
    ready: int | None = None


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """An epoch and its validation are over; `metrics` has keys such as `train/loss` and `val/accuracy`."""

    epoch: int
    epochs: int
    metrics: Mapping[str, float]
    best: bool
    best_epoch: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """Training goes on from a checkpoint."""

    epoch: int
    step: int


@dataclass(frozen=True, slots=True)
class Restarted:
    """Workers are being replaced; `attempt` is one-based. `cause` is failure (they died or hung), preemption (machines are
    taken away) or resize (there is room for more)."""

    attempt: int
    reason: str
    cause: str = "failure"


@dataclass(frozen=True, slots=True)
class TrialReady:
    """The workers of a trial are about to train: how many parameters learn in the end, and what they need not compute."""

    trainable: int
    shared: str


@dataclass(frozen=True, slots=True)
class TrialChanged:
    """A trial of a sweep started, ended an epoch, or ended; `state` is running, complete, pruned or failed.

    `value` is its objective after `epoch` epochs, `best` the sweep's best so far (and of trial `best_number`); `done` of
    `trials` have ended. `features` tells what it shares with other trials.
    """

    number: int
    state: str
    epoch: int
    epochs: int
    value: float | None
    best: float | None
    best_number: int | None
    done: int
    trials: int
    overrides: Mapping[str, object]
    features: str = "none"
    reason: str = ""


Event = TrialReady | TrialChanged | Message | Work | StageOpened | Step | EpochEnded | Resumed | Restarted
OnEvent = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The watcher that looks away."""


def once(on_event: OnEvent) -> OnEvent:
    """Return a watcher that passes each event on the first time only."""
    passed: list[Event] = []

    def watch(event: Event) -> None:
        if event not in passed:
            passed.append(event)
            on_event(event)

    return watch


def throttled(on_event: OnEvent, first_s: float = 1.0, every_s: float = 0.1) -> OnEvent:
    """Return a callback that passes on at most one progress event per `every_s`, and the last one of work that takes at least
    `first_s`; with 0, the first and last event always pass."""
    due, is_reported = monotonic() + first_s, first_s == 0

    def report(event: Event) -> None:
        nonlocal due, is_reported
        at_end = isinstance(event, Work) and event.done >= event.total
        if is_reported if at_end else monotonic() >= due:
            due, is_reported = monotonic() + every_s, True
            on_event(event)

    return report


@dataclass
class Recorder:
    """A watcher that keeps every event, for tests and notebooks."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)
