"""Metrics of a run for dashboards: the driver's events, exported through Ray's Prometheus exporter.

Ray adds a prefix to the names (`ray_raytl_loss`). `clusters/grafana/raytl.json` displays them.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from raytl.events import EpochEnded, Event, ImagesOpened, OnEvent, Restarted, Step, TrialChanged, Work

_MAX_TRIAL_SERIES = 200
"""Later trials share one series, because Prometheus keeps every series for weeks."""
_ray_metrics: dict[str, Any] = {}
"""Ray's metric objects by name: a process may create each once, for all its runs."""
STATES = ("running", "waiting", "complete", "pruned", "failed")


@dataclass(frozen=True)
class Definition:
    """A metric's kind, help text and tags; the run's name is a tag of every metric."""

    kind: Literal["gauge", "counter"]
    text: str
    tags: tuple[str, ...] = ()


METRICS = {
    "raytl_images_per_second": Definition("gauge", "Training images per second, all workers"),
    "raytl_loss": Definition("gauge", "Training loss of the last step"),
    "raytl_epoch": Definition("gauge", "Current epoch, from 1"),
    "raytl_step": Definition("gauge", "Steps completed in the current epoch"),
    "raytl_progress": Definition("gauge", "Completed fraction of all steps, 0 to 1"),
    "raytl_loader_ready_batches": Definition(
        "gauge", "Batches ready for training; constantly 0 means that loading is the bottleneck"
    ),
    "raytl_validation": Definition("gauge", "Validation metric after the last epoch", ("metric",)),
    "raytl_epoch_seconds": Definition("gauge", "Duration of the last epoch, without validation"),
    "raytl_cache_hits": Definition("counter", "Images found decoded in the cache"),
    "raytl_cache_misses": Definition("counter", "Images decoded because the cache lacked them"),
    "raytl_pulled_bytes": Definition("counter", "Bytes downloaded from buckets by the driver and by rank 0's node"),
    "raytl_restarts": Definition("counter", "Worker restarts, by cause: failure, preemption or resize", ("kind",)),
    "raytl_trials": Definition("gauge", "Trials of the sweep, by state", ("state",)),
    "raytl_trial_value": Definition("gauge", "Objective of a trial after its last epoch", ("trial",)),
    "raytl_best_value": Definition("gauge", "Best objective of the sweep so far"),
}


@dataclass(frozen=True)
class Measure:
    """A value of a metric, with the values of its tags in order."""

    name: str
    value: float
    tags: tuple[str, ...] = ()


@dataclass
class EventMeasures:
    """Convert events to measures; holds the state that counters and counts need."""

    _trials: dict[int, str] = field(default_factory=dict)
    _downloaded: dict[str, int] = field(default_factory=dict)

    def of(self, event: Event) -> Iterator[Measure]:
        """Yield the measures of the event."""
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
                before = self._downloaded.get(event.name, 0)
                yield Measure("raytl_pulled_bytes", event.bytes - before if event.bytes >= before else event.bytes)
                self._downloaded[event.name] = event.bytes
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
            trial = str(event.number) if event.number < _MAX_TRIAL_SERIES else "later"
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
    """Return True while this process has a Ray session."""
    ray: Any = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def export_to_ray(run: str, measure: Measure) -> None:
    """Set or increment Ray's metric of the measure's name, tagged with `run`."""
    from ray.util.metrics import Counter as RayCounter
    from ray.util.metrics import Gauge as RayGauge

    name, definition = measure.name, METRICS[measure.name]
    if name not in _ray_metrics:
        kind = RayCounter if definition.kind == "counter" else RayGauge
        _ray_metrics[name] = kind(name, definition.text, ("run", *definition.tags))
    tags = dict(zip(("run", *definition.tags), (run, *measure.tags), strict=True))
    if definition.kind == "gauge":
        _ray_metrics[name].set(float(measure.value), tags=tags)
    elif measure.value > 0:
        _ray_metrics[name].inc(float(measure.value), tags=tags)


def exporting_metrics(
    on_event: OnEvent,
    run: str,
    is_up: Callable[[], bool] = ray_is_up,
    export: Callable[[str, Measure], None] = export_to_ray,
) -> OnEvent:
    """Return a callback that exports events as metrics of `run` while Ray is up, then calls `on_event`. Never fails the work."""
    measures, pending = EventMeasures(), _Pending()

    def export_event(event: Event) -> None:
        with contextlib.suppress(Exception):
            pending.add(measures.of(event))
            if is_up():
                for measure in pending.drain():
                    export(run, measure)
        on_event(event)

    return export_event


@dataclass
class _Pending:
    """Measures not yet exported: the last value of each gauge, the sum of each counter."""

    _values: dict[tuple[str, tuple[str, ...]], float] = field(default_factory=dict)

    def add(self, measures: Iterator[Measure]) -> None:
        for one in measures:
            counts = METRICS[one.name].kind == "counter"
            before = self._values.get((one.name, one.tags), 0.0) if counts else 0.0
            self._values[one.name, one.tags] = before + one.value

    def drain(self) -> Iterator[Measure]:
        while self._values:
            (name, tags), value = self._values.popitem()
            yield Measure(name, value, tags)
