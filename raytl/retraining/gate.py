"""Is the challenger better? A pure function of the comparison on the same images, and of the gate.

`confidence` holds for each comparison: a challenger that is only as good as the champion is promoted with a probability of at
most 1 - confidence. Each tick uses the same evaluation images again, so comparisons are counted and reported. A champion that
won on them by chance is harder to beat on them, so chance promotions do not follow each other. The limit of a class holds over
all classes together: with a probability of at most 1 - confidence, a class that is as good as before rejects the challenger.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from raytl.config.retrain import GateConfig
from raytl.errors import ConfigError
from raytl.metrics.multiple import holm
from raytl.metrics.paired import Paired
from raytl.score_names import is_fraction, p_text, title
from raytl.stored.bounds import Count, Score
from raytl.tasks.reporting import Reporting, Slice

_FEW_IMAGES = 30


@dataclass(frozen=True)
class Comparison:
    """Champion and challenger on the same evaluation images; `looks` counts such comparisons so far, with this one.

    `paired` and `champion` are None if there is no champion yet; `metrics` are the challenger's. `leaked` are evaluation images
    that the challenger was trained on, `unknown` the classes that the champion does not have. `groups` is the number of groups of
    images that the tests draw and swap whole; 0 if images are independent.
    """

    evaluation: str
    images: Count
    looks: Count
    champion: Count | None
    challenger: Count
    same_weights: bool
    metrics: dict[str, Score]
    champion_metrics: dict[str, Score]
    paired: Paired | None
    slices: tuple[Slice, ...]
    latency_ms: Score
    champion_latency_ms: Score | None
    size_bytes: Count
    leaked: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    groups: Count = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON; slices of accuracy name no score, as in raytl 0.1.0."""
        value = asdict(self)
        for part in value["slices"]:
            if part["score"] == "accuracy":
                del part["score"]
        return value


@dataclass(frozen=True)
class Promote:
    """The challenger is the new champion; `worse` names the slices that got worse all the same."""

    reasons: tuple[str, ...]
    worse: tuple[str, ...] = ()


@dataclass(frozen=True)
class Keep:
    """The champion stays: nothing shows that the challenger is better."""

    reasons: tuple[str, ...]
    worse: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reject:
    """The champion stays: something speaks against the challenger."""

    reasons: tuple[str, ...]
    worse: tuple[str, ...] = ()


Verdict = Promote | Keep | Reject


def gate_metric(reporting: Reporting, gate: GateConfig) -> str:
    """Return the metric that the gate compares by: `retrain.gate.metric`, or the first one of the task.

    Raises:
        ConfigError: the task has no such metric.
    """
    metrics = reporting.gate_metrics
    if gate.metric is None:
        return metrics[0]
    if gate.metric not in metrics:
        near = difflib.get_close_matches(gate.metric, metrics, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"expected {', '.join(metrics)}"
        raise ConfigError(f"retrain.gate.metric: found {gate.metric!r}, which is no metric of this task; {advice}")
    return gate.metric


def judge(comparison: Comparison, gate: GateConfig) -> Verdict:
    """Return whether the challenger is promoted, kept back or rejected, and why."""
    worse = tuple(part.text for part in sorted(comparison.slices, key=lambda part: -part.drop) if part.drop > 0)
    objections = _objections(comparison, gate)
    pair = comparison.paired
    if objections:
        return Reject(objections, worse)
    if pair is None:
        return Promote((f"the first version; {comparison.images} evaluation images",))
    if comparison.same_weights:
        return Keep(("same weights as the champion",))
    gain = _gain(pair, gate)
    if pair.least > gate.margin and pair.p_better <= 1 - gate.confidence:
        return Promote((gain, *_worst(worse)), worse)
    return Keep((f"not significantly better: {gain}{_few(comparison)}", *_worst(worse)), worse)


def _few(comparison: Comparison) -> str:
    """Return the number of independent images, or groups of images, if it is small."""
    count = comparison.groups or comparison.images
    return f"; only {count} {'groups of images' if comparison.groups else 'images'}" if count < _FEW_IMAGES else ""


def _objections(comparison: Comparison, gate: GateConfig) -> tuple[str, ...]:
    objections = []
    if comparison.leaked:
        objections.append(
            f"trained on {len(comparison.leaked)} of the evaluation images, such as {comparison.leaked[0]!r}; its score is not "
            "valid"
        )
    if gate.max_latency_ms is not None and comparison.latency_ms > gate.max_latency_ms:
        objections.append(
            f"latency {comparison.latency_ms:.1f} ms exceeds gate.max_latency_ms ({gate.max_latency_ms:g})"
        )
    if gate.max_size_mb is not None and comparison.size_bytes > gate.max_size_mb * 1e6:
        objections.append(f"size {comparison.size_bytes / 1e6:.1f} MB exceeds gate.max_size_mb ({gate.max_size_mb:g})")
    if gate.max_class_drop is not None:
        objections += _class_objections(comparison.slices, gate.max_class_drop, 1 - gate.confidence)
    overall = comparison.paired
    if overall is not None and overall.gain < 0 and overall.p_worse <= 1 - gate.confidence:
        objections.append(f"worse: {_gain(overall, gate, overall.p_worse)}")
    return tuple(objections)


def _class_objections(slices: Sequence[Slice], max_drop: float, chance: float) -> list[str]:
    """Return the classes whose scores dropped too far. Their p-values are corrected for the number of classes: otherwise
    chance alone would speak against almost every challenger of a hundred classes."""
    classes = [part for part in slices if part.is_class]
    number = f", corrected for {len(classes)} classes" if len(classes) > 1 else ""
    return [
        f"{part.text}; the drop exceeds gate.max_class_drop ({max_drop:g}; {p_text(p)}{number})"
        for part, p in zip(classes, holm([part.p_worse for part in classes]).tolist(), strict=True)
        if part.drop > max_drop and p <= chance
    ]


def _gain(pair: Paired, gate: GateConfig, p: float | None = None) -> str:
    name = title(pair.metric)
    margin = f", margin {_signed(pair.metric, gate.margin)}" if gate.margin else ""
    return (
        f"{name} {_value(pair.metric, pair.before)} -> {_value(pair.metric, pair.after)} "
        f"({_signed(pair.metric, pair.gain)}, 95 % interval {_signed(pair.metric, pair.low)} to "
        f"{_signed(pair.metric, pair.high)}; {p_text(pair.p_better if p is None else p)}{margin})"
    )


def _worst(worse: tuple[str, ...]) -> tuple[str, ...]:
    return (f"worse: {worse[0]}" + (f", and {len(worse) - 1} more" if len(worse) > 1 else ""),) if worse else ()


def _value(metric: str, value: float) -> str:
    return f"{100 * value:.1f} %" if is_fraction(metric) else f"{value:.3f}"


def _signed(metric: str, value: float) -> str:
    return f"{100 * value:+.1f} points" if is_fraction(metric) else f"{value:+.3f}"
