"""Counters and histograms of a server as Prometheus text; few series, whatever clients send."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
_MAX_LABELS = 100
"""Answers are counted by class up to that many classes."""
Labels = tuple[tuple[str, str], ...]
Gauges = Callable[[], Mapping[str, float]]
"""Returns gauges by name; called at each scrape."""


class Histogram:
    """Counts of values up to each bound."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds, self.counts, self.total, self.sum = bounds, [0] * (len(bounds) + 1), 0, 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.total += 1
        self.sum += value


class Counters:
    """The counts and histograms of a server; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.values: dict[tuple[str, Labels], float] = {}
        self.request_s = Histogram(SECONDS)
        self.photo_s = Histogram(SECONDS)
        self.confidence = Histogram(FRACTIONS)

    def count(self, name: str, by: float = 1, **labels: str) -> None:
        """Increment a counter."""
        key = (name, tuple(sorted(labels.items())))
        with self._lock:
            self.values[key] = self.values.get(key, 0) + by

    def request(self, path: str, code: int, seconds: float) -> None:
        """Count a request by its route and status."""
        self.count("requests_total", path=path, code=str(code))
        with self._lock:
            self.request_s.add(seconds)

    def refused_connection(self, status: int) -> None:
        """Count a connection that was refused; it has no request whose time counts."""
        self.count("requests_total", path="connection", code=str(status))

    def answer(self, answer: Mapping[str, Any], seconds: float, classes: int) -> None:
        """Count an answer: how sure it is, whether it abstains, and whether the photo is unfamiliar."""
        self.count("photos_total")
        if answer.get("answered") is False:
            self.count("abstained_total")
        if answer.get("unfamiliar") is True:
            self.count("unfamiliar_total")
        if "label" in answer and classes <= _MAX_LABELS:
            self.count("answers_total", label=str(answer["label"]))
        with self._lock:
            self.photo_s.add(seconds)
            if "confidence" in answer:
                self.confidence.add(float(answer["confidence"]))

    def text(self, gauges: Mapping[str, float], model: Mapping[str, str]) -> str:
        """Return everything as Prometheus text; `model` are the labels of the version that is served."""
        with self._lock:
            lines = [*self._counter_lines(), *self._histogram_lines()]
        for name, value in gauges.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [*_head(name.removeprefix("raytl_"), kind), f"raytl_{name.removeprefix('raytl_')} {value:.15g}"]
        lines += [*_head("model_info", "gauge"), f"raytl_model_info{_labels(tuple(model.items()))} 1"]
        return "\n".join(lines) + "\n"

    def _counter_lines(self) -> Iterator[str]:
        for name in HELP_COUNTERS:
            yield from _head(name, "counter")
            series = sorted((labels, value) for (own, labels), value in self.values.items() if own == name)
            if not series and name in _UNLABELLED:
                series = [((), 0)]
            yield from (f"raytl_{name}{_labels(labels)} {value:.15g}" for labels, value in series)

    def _histogram_lines(self) -> Iterator[str]:
        named = {
            "request_seconds": self.request_s,
            "photo_seconds": self.photo_s,
            "confidence": self.confidence,
        }
        for name, histogram in named.items():
            yield from _head(name, "histogram")
            running = 0
            for bound, count in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True):
                running += count
                yield f'raytl_{name}_bucket{{le="{bound}"}} {running}'
            yield f"raytl_{name}_sum {histogram.sum:.15g}"
            yield f"raytl_{name}_count {histogram.total}"


HELP_COUNTERS = {
    "requests_total": "Requests by route and status",
    "photos_total": "Photos that were answered",
    "abstained_total": "Answers below the least confidence",
    "unfamiliar_total": "Photos that are far from those of training",
    "answers_total": "Answers by class",
    "observations_dropped_total": "Answers that were not passed on because too many waited",
    "observations_failed_total": "Answers that could not be passed on",
}
_UNLABELLED = frozenset(HELP_COUNTERS) - {"requests_total", "answers_total"}
_HELP = HELP_COUNTERS | {
    "request_seconds": "Time from the head of a request to its response",
    "photo_seconds": "Time to decode and answer a photo, without waiting",
    "confidence": "Confidence of the answers",
    "model_info": "The model and the version that is served",
    "queue_photos": "Photos that wait",
    "pending_photos": "Photos that wait or are computed",
    "body_bytes": "Bytes of bodies in memory",
    "swaps": "Times that another version was taken",
    "swap_failures": "Times that another version could not be taken",
    "stale": "1 while the version that the alias names is not served",
}


def _head(name: str, kind: str) -> Iterable[str]:
    text = _HELP.get(name, name.replace("_", " "))
    return (f"# HELP raytl_{name} {text}", f"# TYPE raytl_{name} {kind}")


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
