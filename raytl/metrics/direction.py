"""The direction of each metric: whether a higher or a lower value is better."""

from __future__ import annotations

_LOWER_IS_BETTER = frozenset({"log_loss", "ece"})
_COST = "cost/"
"""The prefix of metrics that measure cost, such as seconds."""


def lower_is_better(metric: str) -> bool:
    """Return True if a lower value of `metric` is better, with or without its split (`val/`)."""
    return metric.startswith(_COST) or metric.removeprefix("val/") in _LOWER_IS_BETTER


def sign(metric: str) -> float:
    """Return the factor that makes higher values of `metric` better: 1.0 or -1.0."""
    return -1.0 if lower_is_better(metric) else 1.0
