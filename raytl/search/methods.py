"""The methods that a trial adds to training on labels: of two trials that are as good, the one with fewer of them wins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from raytl.config.auxiliary_rules import ROBUST_LOSSES
from raytl.search.record import TrialRecord


def _is_on(value: Any) -> bool:
    return value not in ("none", 0, None)


def _is_robust(value: Any) -> bool:
    return value in ROBUST_LOSSES


def _leaves_out(value: Any) -> bool:
    return bool(value == "leave_out")


METHODS: Mapping[str, Callable[[Any], bool]] = {
    "few.method": _is_on,
    "adapt.method": _is_on,
    "adapt.style.probability": _is_on,
    "data.synthetic.share": _is_on,
    "auxiliary.weight": _is_on,
    "auxiliary.rotation": _is_on,
    "train.loss": _is_robust,
    "labels.noise": _leaves_out,
}
"""The keys that a space may vary to add a method, and whether a value of theirs does."""


def methods_of(overrides: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of `overrides` that add a method."""
    return tuple(key for key, adds in METHODS.items() if key in overrides and adds(overrides[key]))


def simpler_than(trials: Sequence[TrialRecord], others: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return those of `others`, best first, with fewer methods than each of `trials`; first those with the fewest."""
    least = min((len(methods_of(each.overrides)) for each in trials), default=0)
    simpler = [each for each in others if len(methods_of(each.overrides)) < least]
    return sorted(simpler, key=lambda each: len(methods_of(each.overrides)))


def with_simplest(ranked: Sequence[TrialRecord], count: int) -> list[TrialRecord]:
    """Return the first `count` of `ranked` trials, best first, and the best of those with the fewest methods, if it is not
    among them: without it, nothing would say whether a method helps beyond noise."""
    first, rest = list(ranked[:count]), ranked[count:]
    return first + simpler_than(first, rest)[:1]
