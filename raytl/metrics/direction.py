"""The direction of each metric, read off its name: of a loss, an error or a cost a lower value is better, else a higher one."""

from __future__ import annotations

import re

_LOWER_IS_BETTER = ("loss", "error", "ece")
"""The last words of the names of metrics of which lower values are better."""
_COST = "cost/"
"""The prefix of metrics that measure cost, such as seconds."""


def lower_is_better(metric: str) -> bool:
    """Return True if a lower value of `metric` is better, with or without its split (`val/`)."""
    return metric.startswith(_COST) or re.split("[/_]", metric)[-1] in _LOWER_IS_BETTER


def sign(metric: str) -> float:
    """Return the factor that makes higher values of `metric` better: 1.0 or -1.0."""
    return -1.0 if lower_is_better(metric) else 1.0
