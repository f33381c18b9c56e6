"""The events of a run, as values; the terminal and the log subscribe to the same events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

from raytl.sanitize import redacted
from raytl.throttle import Throttle

WARM_UP = "warm-up"
"""The stage of steps before training, which learn without labels."""


@dataclass(frozen=True, slots=True)
class Message:
    """A line for the user; `level` is info, warning or error."""

    text: str
    level: str = "info"

    def __post_init__(self) -> None:
        """Mask the secrets in the text."""
        object.__setattr__(self, "text", redacted(self.text))


@dataclass(frozen=True, slots=True)
class ImagesOpened(Message):
    """Images are ready for training: `hits` of them were in the decode cache, `misses` were not."""

    hits: int = 0
    misses: int = 0


@dataclass(frozen=True, slots=True)
class Work:
    """Progress of countable work (`done` of `total` `unit`s), such as reading images; `bytes` were downloaded for it. Work
    whose parts are not counted has the unit "" and a total of 1. `per_s` is the rate in units a second, 0 if unknown."""

    name: str
    done: int
    total: int
    unit: str = "images"
    bytes: int = 0
    per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StageOpened:
    """A stage of training began at `epoch`: these parts of the network are trainable now, at these learning rates."""

    epoch: int
    name: str
    learning: tuple[str, ...]
    rates: Mapping[str, float]
    trainable: int
    total: int


@dataclass(frozen=True, slots=True)
class Step:
    """A training step is done; counts are one-based, `images_per_s` is over all workers, and `ready` batches are
    prefetched (None if unknown)."""

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
    """An epoch and its validation are done; `metrics` has keys such as `train/loss` and `val/accuracy`."""

    epoch: int
    epochs: int
    metrics: Mapping[str, float]
    best: bool
    best_epoch: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """Training resumes from a checkpoint."""

    epoch: int
    step: int


@dataclass(frozen=True, slots=True)
class Restarted:
    """Workers are restarted; `attempt` is one-based. `cause` is failure (they died or hung), preemption (their machines
    leave) or resize (there is room for more)."""

    attempt: int
    reason: str
    cause: str = "failure"


@dataclass(frozen=True, slots=True)
class TrialReady:
    """The workers of a trial are about to train `trainable` parameters; `features` describes the cached features in use."""

    trainable: int
    features: str


@dataclass(frozen=True, slots=True)
class TrialChanged:
    """A trial of a sweep started, finished an epoch, or ended; `state` is running, waiting (at a rung), complete, pruned or
    failed.

    `value` is its objective after `epoch` epochs, `best` the sweep's best so far (of trial `best_number`); `done` of
    `trials` have ended. `features` describes the features it shares with other trials.
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
    """Discard the event."""


def once(on_event: OnEvent) -> OnEvent:
    """Return a callback that forwards each distinct event once."""
    seen: list[Event] = []

    def forward(event: Event) -> None:
        if event not in seen:
            seen.append(event)
            on_event(event)

    return forward


def throttled(on_event: OnEvent, first_s: float = 1.0, every_s: float = 0.1) -> OnEvent:
    """Return a callback that passes on at most one progress event per `every_s`, and the last one of work that takes at least
    `first_s`; with 0, the first and last event always pass."""
    throttle, is_reported = Throttle(every_s, monotonic, last=monotonic() + first_s - every_s), first_s == 0

    def report(event: Event) -> None:
        nonlocal is_reported
        at_end = isinstance(event, Work) and event.done >= event.total
        if is_reported if at_end else throttle.is_due():
            is_reported = True
            on_event(event)

    return report


@dataclass
class Recorder:
    """A callback that keeps every event, for tests and notebooks."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)
