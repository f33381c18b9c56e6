"""Is the challenger better? A pure function of the comparison on the same images, and of the gate.

`confidence` holds for each comparison: a challenger that is only as good as the champion is promoted with a probability of at
most 1 - confidence. Each tick uses the same evaluation images again, so comparisons are counted and reported. A champion that
won on them by chance is harder to beat on them, so chance promotions do not follow each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from raytl.config.retrain import GateConfig
from raytl.metrics.paired import Paired
from raytl.stored.bounds import Count, Score

_FEW_IMAGES = 30


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the evaluation images (a class, or the new images): the accuracy of the champion (`before`) and the challenger
    (`after`), and the p-value of the loss (`p_worse`)."""

    name: str
    images: Count
    before: Score
    after: Score
    gained: Count
    lost: Count
    p_worse: Score
    is_class: bool = True

    @property
    def drop(self) -> float:
        """The loss of accuracy."""
        return self.before - self.after

    @property
    def text(self) -> str:
        """`class 'glass' (83 images): 91.6 -> 86.7 %`."""
        kind = "class " if self.is_class else ""
        name = repr(self.name) if self.is_class else self.name
        return f"{kind}{name} ({self.images} images): {100 * self.before:.1f} -> {100 * self.after:.1f} %"


@dataclass(frozen=True)
class Comparison:
    """Champion and challenger on the same evaluation images; `looks` counts such comparisons so far, with this one.

    `paired` and `champion` are None if there is no champion yet; `metrics` are the challenger's. `leaked` are evaluation images
    that the challenger was trained on, `unknown` the classes that the champion does not have.
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
    few = f"; only {comparison.images} images" if comparison.images < _FEW_IMAGES else ""
    return Keep((f"not significantly better: {gain}{few}", *_worst(worse)), worse)


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
    chance = 1 - gate.confidence
    if gate.max_class_drop is not None:
        objections += [
            f"{part.text}; the drop exceeds gate.max_class_drop ({gate.max_class_drop:g}; p {part.p_worse:.3f})"
            for part in comparison.slices
            if part.is_class and part.drop > gate.max_class_drop and part.p_worse <= chance
        ]
    overall = comparison.paired
    if overall is not None and overall.gain < 0 and overall.p_worse <= chance:
        objections.append(f"worse: {_gain(overall, gate, overall.p_worse)}")
    return tuple(objections)


def _gain(pair: Paired, gate: GateConfig, p: float | None = None) -> str:
    name = pair.metric.replace("_", " ")
    margin = f", margin {_signed(pair.metric, gate.margin)}" if gate.margin else ""
    return (
        f"{name} {_value(pair.metric, pair.before)} -> {_value(pair.metric, pair.after)} "
        f"({_signed(pair.metric, pair.gain)}, 95 % interval {_signed(pair.metric, pair.low)} to "
        f"{_signed(pair.metric, pair.high)}; p {pair.p_better if p is None else p:.3f}{margin})"
    )


def _worst(worse: tuple[str, ...]) -> tuple[str, ...]:
    return (f"worse: {worse[0]}" + (f", and {len(worse) - 1} more" if len(worse) > 1 else ""),) if worse else ()


def _value(metric: str, value: float) -> str:
    return f"{value:.3f}" if metric == "log_loss" else f"{100 * value:.1f} %"


def _signed(metric: str, value: float) -> str:
    return f"{value:+.3f}" if metric == "log_loss" else f"{100 * value:+.1f} points"
