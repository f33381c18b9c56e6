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


def with_simplest(ranked: Sequence[TrialRecord], count: int) -> list[TrialRecord]:
    """Return the first `count` of `ranked` trials, best first, and the best of those with the fewest methods, if it is not
    among them: without it, nothing would say whether a method helps beyond noise."""
    first = list(ranked[:count])
    least = min((len(methods_of(each.overrides)) for each in ranked), default=0)
    if first and all(len(methods_of(each.overrides)) > least for each in first):
        first.append(next(each for each in ranked if len(methods_of(each.overrides)) == least))
    return first
