"""A run's numbers for dashboards, through Ray's own Prometheus exporter: what its events tell, on the driver.

Names are exported with Ray's prefix (`ray_raytl_loss`). `clusters/grafana/raytl.json` shows them.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from raytl.events import EpochEnded, Event, ImagesOpened, OnEvent, Restarted, Step, TrialChanged, Work

_MOST_TRIALS = 200
"""Trials beyond these have one series together: Prometheus keeps every series for weeks."""
_made: dict[str, Any] = {}
"""Ray's metrics by name: a process has each once, whatever number of runs it does."""
STATES = ("running", "waiting", "complete", "pruned", "failed")


@dataclass(frozen=True)
class Meaning:
    """What a metric is: a gauge is as it is now, a counter grows. `tags` beside the run's name."""

    kind: Literal["gauge", "counter"]
    text: str
    tags: tuple[str, ...] = ()


METRICS = {
    "raytl_images_per_second": Meaning("gauge", "Training images a second, over all workers"),
    "raytl_loss": Meaning("gauge", "Training loss of the last step"),
    "raytl_epoch": Meaning("gauge", "Epoch that is trained, from 1"),
    "raytl_step": Meaning("gauge", "Steps done in this epoch"),
    "raytl_progress": Meaning("gauge", "Share of all epochs' steps that is done, 0 to 1"),
    "raytl_loader_ready_batches": Meaning("gauge", "Batches that wait for training; 0 all the time = data is too slow"),
    "raytl_validation": Meaning("gauge", "Validation after the last epoch", ("metric",)),
    "raytl_epoch_seconds": Meaning("gauge", "What the last epoch took, without its validation"),
    "raytl_cache_hits": Meaning("counter", "Images that were found decoded"),
    "raytl_cache_misses": Meaning("counter", "Images that had to be decoded"),
    "raytl_pulled_bytes": Meaning("counter", "Bytes pulled from buckets by the driver and by the first worker's node"),
    "raytl_restarts": Meaning(
        "counter", "Times that workers were replaced: after a failure, because machines left, or came", ("kind",)
    ),
    "raytl_trials": Meaning("gauge", "Trials of the sweep", ("state",)),
    "raytl_trial_value": Meaning("gauge", "A trial's objective after its last epoch", ("trial",)),
    "raytl_best_value": Meaning("gauge", "The sweep's best objective so far"),
}


@dataclass(frozen=True)
class Measure:
    """A number of a metric, and the values of its tags in their order."""

    name: str
    value: float
    tags: tuple[str, ...] = ()


@dataclass
class Measured:
    """Events as measures; remembers what counts are made of."""

    _trials: dict[int, str] = field(default_factory=dict)
    _pulled: dict[str, int] = field(default_factory=dict)

    def of(self, event: Event) -> Iterator[Measure]:
        """What the event tells."""
        match event:
            case Step():
                yield Measure("raytl_images_per_second", event.images_per_s)
                yield Measure("raytl_loss", event.loss)
                yield Measure("raytl_epoch", event.epoch)
                yield Measure("raytl_step", event.step)
                yield Measure("raytl_progress", (event.epoch - 1 + event.step / event.steps) / event.epochs)
                if event.ready is not None:
                    yield Measure("raytl_loader_ready_batches", event.ready)
            case EpochEnded():
                yield from _epoch(event)
            case ImagesOpened():
                yield Measure("raytl_cache_hits", event.hits)
                yield Measure("raytl_cache_misses", event.misses)
            case Work() if event.bytes:
                before = self._pulled.get(event.name, 0)
                yield Measure("raytl_pulled_bytes", event.bytes - before if event.bytes >= before else event.bytes)
                self._pulled[event.name] = event.bytes
            case Restarted():
                yield Measure("raytl_restarts", 1, (event.cause,))
            case TrialChanged():
                yield from self._trial(event)

    def _trial(self, event: TrialChanged) -> Iterator[Measure]:
        self._trials[event.number] = event.state
        counts = Counter(self._trials.values())
        for state in STATES:
            yield Measure("raytl_trials", counts[state], (state,))
        if event.value is not None:
            trial = str(event.number) if event.number < _MOST_TRIALS else "later"
            yield Measure("raytl_trial_value", event.value, (trial,))
        if event.best is not None:
            yield Measure("raytl_best_value", event.best)


def _epoch(event: EpochEnded) -> Iterator[Measure]:
    for name, value in event.metrics.items():
        if name.startswith("val/") and name != "val/seconds":
            yield Measure("raytl_validation", value, (name.removeprefix("val/"),))
    if "train/seconds" in event.metrics:
        yield Measure("raytl_epoch_seconds", event.metrics["train/seconds"])


def ray_is_up() -> bool:
    """True while this process has a Ray session."""
    ray: Any = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def export_to_ray(run: str, measure: Measure) -> None:
    """Set or raise Ray's metric of the measure's name, tagged with `run`."""
    from ray.util.metrics import Counter as RayCounter
    from ray.util.metrics import Gauge as RayGauge

    name, meaning = measure.name, METRICS[measure.name]
    if name not in _made:
        kind = RayCounter if meaning.kind == "counter" else RayGauge
        _made[name] = kind(name, meaning.text, ("run", *meaning.tags))
    tags = dict(zip(("run", *meaning.tags), (run, *measure.tags), strict=True))
    if meaning.kind == "gauge":
        _made[name].set(float(measure.value), tags=tags)
    elif measure.value > 0:
        _made[name].inc(float(measure.value), tags=tags)


def metered(
    on_event: OnEvent,
    run: str,
    is_up: Callable[[], bool] = ray_is_up,
    export: Callable[[str, Measure], None] = export_to_ray,
) -> OnEvent:
    """`on_event`, with what events tell exported as metrics of `run` while Ray is up. Never fails the work."""
    measured, waiting = Measured(), _Waiting()

    def tell(event: Event) -> None:
        with contextlib.suppress(Exception):
            waiting.add(measured.of(event))
            if is_up():
                for measure in waiting.taken():
                    export(run, measure)
        on_event(event)

    return tell


@dataclass
class _Waiting:
    """Measures that are not exported yet: the last value of each gauge, the sum of each counter."""

    _values: dict[tuple[str, tuple[str, ...]], float] = field(default_factory=dict)

    def add(self, measures: Iterator[Measure]) -> None:
        for one in measures:
            counts = METRICS[one.name].kind == "counter"
            before = self._values.get((one.name, one.tags), 0.0) if counts else 0.0
            self._values[one.name, one.tags] = before + one.value

    def taken(self) -> Iterator[Measure]:
        while self._values:
            (name, tags), value = self._values.popitem()
            yield Measure(name, value, tags)
