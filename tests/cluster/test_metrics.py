"""Events become metrics, and a failing exporter never fails the work."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.cluster.metrics import METRICS, EventMeasures, Measure, exporting_metrics
from raytl.events import (
    EpochEnded,
    Event,
    ImagesOpened,
    Message,
    OnEvent,
    Recorder,
    Restarted,
    Step,
    TrialChanged,
    Work,
    ignore,
)

STEP = Step(2, 4, 5, 10, 0.5, 100.0, {"head": 1e-3}, "head", 3)


def trial(number: int, state: str, value: float | None = None) -> TrialChanged:
    return TrialChanged(number, state, 1, 2, value, value, number, 0, 4, {})


def series(*events: Event) -> dict[tuple[str, ...], float]:
    """Return the last value of each series."""
    measures = EventMeasures()
    return {(one.name, *one.tags): one.value for event in events for one in measures.of(event)}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([STEP], {("raytl_progress",): 0.375, ("raytl_loss",): 0.5, ("raytl_loader_ready_batches",): 3}),
        ([ImagesOpened("x", hits=7, misses=2)], {("raytl_cache_hits",): 7, ("raytl_cache_misses",): 2}),
        (
            [EpochEnded(1, 2, {"val/accuracy": 0.5, "val/seconds": 9.0, "train/seconds": 3.0}, True, 1)],
            {("raytl_validation", "accuracy"): 0.5, ("raytl_epoch_seconds",): 3.0},
        ),
        ([Restarted(1, "a worker died")], {("raytl_restarts", "failure"): 1}),
        (
            [trial(0, "running"), trial(1, "running"), trial(0, "complete", 0.9)],
            {("raytl_trials", "running"): 1, ("raytl_trials", "complete"): 1, ("raytl_trial_value", "0"): 0.9},
        ),
        ([trial(5000, "complete", 0.9)], {("raytl_trial_value", "later"): 0.9}),
        ([Message("x"), Work("reading images", 1, 2)], {}),
    ],
)
def test_the_measures_of_an_event(events: list[Event], expected: dict[tuple[str, ...], float]) -> None:
    got = series(*events)
    assert expected.items() <= got.items()
    assert bool(got) == bool(expected)


def test_downloaded_bytes_are_counted_since_the_last_event() -> None:
    measures = EventMeasures()
    events = [Work("a", 1, 3, bytes=10), Work("a", 2, 3, bytes=25), Work("b", 1, 1, bytes=5), Work("a", 1, 3, bytes=4)]
    assert [one.value for event in events for one in measures.of(event)] == [10, 15, 5, 4]


def test_every_measure_is_of_a_metric_with_its_tags() -> None:
    events = [STEP, EpochEnded(1, 2, {"val/x": 1.0}, True, 1), Restarted(1, "x"), trial(1, "failed", 0.1)]
    assert all(len(METRICS[name].tags) == len(tags) for name, *tags in series(*events))


class _Ray:
    """A fake of Ray's metrics."""

    def __init__(self, up: bool) -> None:
        self.up, self.seen = up, list[tuple[str, float]]()

    def callback(self, run: str) -> OnEvent:
        def export(_: str, measure: Measure) -> None:
            self.seen.append((measure.name, measure.value))

        return exporting_metrics(ignore, run, lambda: self.up, export)


def test_measures_from_before_ray_started_are_exported_once_it_runs() -> None:
    ray = _Ray(up=False)
    on_event = ray.callback("r")
    on_event(ImagesOpened("x", hits=3))
    on_event(ImagesOpened("x", hits=4))
    on_event(STEP)
    assert ray.seen == []
    ray.up = True
    on_event(STEP)
    assert ("raytl_cache_hits", 7.0) in ray.seen
    assert [name for name, _ in ray.seen].count("raytl_loss") == 1


def test_metrics_that_fail_do_not_fail_the_work() -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no exporter")

    recorder = Recorder()
    exporting_metrics(recorder, "r", broken)(STEP)
    exporting_metrics(recorder, "r", lambda: True, broken)(STEP)
    assert recorder.events == [STEP, STEP]


def test_an_event_exports_each_of_its_numbers_once() -> None:
    ray = _Ray(up=True)
    on_event, numbers = ray.callback("r"), len(series(STEP))
    for steps in range(1, 4):
        on_event(STEP)
        assert len(ray.seen) == steps * numbers
