"""Numbers of a report as text."""

from __future__ import annotations

import math

from raytl.metrics.intervals import Interval


def percent(value: float) -> str:
    """Return a fraction in percent, a dash if it is undefined."""
    if math.isnan(value):
        return "–"
    return f"{100 * value:.1f}".removesuffix(".0") + " %"


def bounds(each: Interval) -> str:
    """Return a fraction with its interval: `91.2 % (88 % to 94.1 %)`."""
    return f"{percent(each.value)} ({percent(each.low)} to {percent(each.high)})"
