"""Scores as text: the same digits and units in Markdown, in HTML and in a notebook."""

from __future__ import annotations

import math

from raytl.metrics.intervals import Interval
from raytl.score_names import is_fraction, title

__all__ = ["interval_text", "score_text", "title"]


def score_text(name: str, value: float) -> str:
    """Return a score as text: fractions in percent, others as numbers, an undefined score as a dash."""
    if math.isnan(value):
        return "–"
    return f"{100 * value:.1f} %" if is_fraction(name) else f"{value:.3f}"


def interval_text(name: str, interval: Interval) -> str:
    """Return the bounds of an interval: `91.2 – 95.0 %`."""
    return f"{score_text(name, interval.low).removesuffix(' %')} – {score_text(name, interval.high)}"
