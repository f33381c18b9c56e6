"""Is the challenger the better one? A pure function of what both scored on the same images, and of the gate.

`confidence` is meant for each comparison: of two equally good models, a challenger is promoted with a chance of at most
1 - confidence. The same evaluation images are looked at again at each tick; how often is counted and told. A champion that
won on them by luck is the harder to beat on them, so lucky promotions do not follow each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from raytl.config.retrain import GateConfig
from raytl.metrics.paired import Paired
from raytl.stored.bounds import Count, Score

_FEW = 30


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the evaluation images (a class, or the new ones): the share that is right before and after, and how often
    chance alone would show as large a loss (`p_worse`) were both equally good there."""

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
        """How much of it is no longer right."""
        return self.before - self.after

    @property
    def text(self) -> str:
        """`class 'glass' (83 images): 91.6 -> 86.7 %`."""
        kind = "class " if self.is_class else ""
        name = repr(self.name) if self.is_class else self.name
        return f"{kind}{name} ({self.images} images): {100 * self.before:.1f} -> {100 * self.after:.1f} %"


@dataclass(frozen=True)
class Comparison:
    """Champion and challenger on the same evaluation images: `looks` such comparisons were made so far, this one included.

    `paired` and `champion` are None where there is no champion yet, and `metrics` are the challenger's. `leaked` are
    evaluation images that the challenger was trained on. `unknown` are classes that the champion does not know.
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


def judge(contest: Comparison, gate: GateConfig) -> Verdict:
    """Who is the champion from now on, and why."""
    worse = tuple(part.text for part in sorted(contest.slices, key=lambda part: -part.drop) if part.drop > 0)
    against = _against(contest, gate)
    found = contest.paired
    if against:
        return Reject(against, worse)
    if found is None:
        return Promote((f"the first version; {contest.images} evaluation images",))
    if contest.same_weights:
        return Keep(("it has the champion's own weights",))
    told = _told(found, gate)
    if found.least > gate.margin and found.p_better <= 1 - gate.confidence:
        return Promote((told, *_but(worse)), worse)
    few = f"; only {contest.images} images to tell by" if contest.images < _FEW else ""
    return Keep((f"not shown to be better: {told}{few}", *_but(worse)), worse)


def _against(contest: Comparison, gate: GateConfig) -> tuple[str, ...]:
    found = []
    if contest.leaked:
        found.append(
            f"it was trained on {len(contest.leaked)} of the evaluation images, such as {contest.leaked[0]!r}: its score "
            "would be no evidence"
        )
    if gate.max_latency_ms is not None and contest.latency_ms > gate.max_latency_ms:
        found.append(f"an image takes {contest.latency_ms:.1f} ms, at most {gate.max_latency_ms:g} ms are wanted")
    if gate.max_size_mb is not None and contest.size_bytes > gate.max_size_mb * 1e6:
        found.append(f"it has {contest.size_bytes / 1e6:.1f} MB, at most {gate.max_size_mb:g} MB are wanted")
    chance = 1 - gate.confidence
    if gate.max_class_drop is not None:
        found += [
            f"{part.text}, and at most {100 * gate.max_class_drop:g} points may be lost (p {part.p_worse:.3f})"
            for part in contest.slices
            if part.is_class and part.drop > gate.max_class_drop and part.p_worse <= chance
        ]
    overall = contest.paired
    if overall is not None and overall.gain < 0 and overall.p_worse <= chance:
        found.append(f"it is worse: {_told(overall, gate, overall.p_worse)}")
    return tuple(found)


def _told(found: Paired, gate: GateConfig, p: float | None = None) -> str:
    name = found.metric.replace("_", " ")
    margin = f", {_shown(found.metric, gate.margin)} is the margin" if gate.margin else ""
    return (
        f"{name} {_value(found.metric, found.before)} -> {_value(found.metric, found.after)} "
        f"({_shown(found.metric, found.gain)}, 95 % interval {_shown(found.metric, found.low)} to "
        f"{_shown(found.metric, found.high)}; p {found.p_better if p is None else p:.3f}{margin})"
    )


def _but(worse: tuple[str, ...]) -> tuple[str, ...]:
    return (f"worse: {worse[0]}" + (f", and {len(worse) - 1} more" if len(worse) > 1 else ""),) if worse else ()


def _value(metric: str, value: float) -> str:
    return f"{value:.3f}" if metric == "log_loss" else f"{100 * value:.1f} %"


def _shown(metric: str, value: float) -> str:
    return f"{value:+.3f}" if metric == "log_loss" else f"{100 * value:+.1f} points"
