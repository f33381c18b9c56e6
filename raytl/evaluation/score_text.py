"""Scores as text: the same names, digits and units in Markdown, in HTML and in a notebook."""

from __future__ import annotations

import math

from raytl.metrics.intervals import Interval

_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "ece": "expected calibration error",
}
_PERCENT = {"accuracy", "balanced_accuracy", "macro_f1", "ece", "precision", "recall", "f1"}


def title(name: str) -> str:
    """Return `balanced_accuracy` as `balanced accuracy`, and `top_5_accuracy` as `top-5 accuracy`."""
    return _NAMES.get(name) or name.replace("top_", "top-").replace("_", " ")


def score_text(name: str, value: float) -> str:
    """Return a score as text: fractions in percent, log loss as a number, an undefined score as a dash."""
    if math.isnan(value):
        return "–"
    return f"{100 * value:.1f} %" if name in _PERCENT or name.startswith("top_") else f"{value:.3f}"


def interval_text(name: str, interval: Interval) -> str:
    """Return the bounds of an interval: `91.2 – 95.0 %`."""
    return f"{score_text(name, interval.low).removesuffix(' %')} – {score_text(name, interval.high)}"
