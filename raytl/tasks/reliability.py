"""The calibration of a model in its report: the temperature, the scores without it, and how often decisions are right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raytl.metrics.calibration import calibration_error, decision_losses, reliability
from raytl.pages.figures import BLUE, ORANGE, SOFT, dress, legend_above, new_figure
from raytl.run.plots import save
from raytl.tasks.reporting import Evaluated
from raytl.tasks.score_text import score_text, title
from raytl.tasks.task import Decisions

CHART = "reliability.png"
DESCRIPTION = "Reliability: how often decisions are right, by confidence"


@dataclass(frozen=True, slots=True)
class Calibration:
    """The temperature of a calibrated model, and the scores of its answers without it."""

    temperature: float
    uncalibrated: Mapping[str, float]


def calibration_of(evaluated: Evaluated, decisions: Decisions) -> Calibration | None:
    """Return the temperature of the answers, and the log loss and calibration error of the decisions without it.

    Return None for answers without a temperature, or without a decision.
    """
    targets, logits = decisions(evaluated.truths, evaluated.rows)
    if evaluated.temperature is None or not len(targets):
        return None
    logits = logits * evaluated.temperature
    before = {"log_loss": decision_losses(targets, logits).mean(), "ece": calibration_error(targets, logits)}
    return Calibration(evaluated.temperature, {name: float(value) for name, value in before.items()})


def calibration_text(calibration: Calibration | None, metrics: Mapping[str, float]) -> str:
    """Return a sentence on what the temperature changed; empty without one."""
    if calibration is None:
        return ""
    return (
        f"Calibrated with temperature {calibration.temperature:.3f}, fitted on the validation split: "
        f"{changes(calibration, metrics)}."
    )


def changes(calibration: Calibration, metrics: Mapping[str, float]) -> str:
    """Return what the temperature changed: each score without it, and that of `metrics`."""
    return ", ".join(
        f"{title(name)} {score_text(name, before)} -> {score_text(name, metrics[name])}"
        for name, before in calibration.uncalibrated.items()
        if name in metrics
    )


def has_decisions(evaluated: Evaluated, decisions: Decisions) -> bool:
    """Return whether any decision is scored, so that its reliability can be drawn; not if no label is known."""
    return len(decisions(evaluated.truths, evaluated.rows)[0]) > 0


def draw_reliability(evaluated: Evaluated, decisions: Decisions, path: Path) -> None:
    """Draw the fraction of right decisions by confidence, and of a calibrated model also without its temperature.

    At least one decision is needed.
    """
    targets, logits = decisions(evaluated.truths, evaluated.rows)
    figure = new_figure(6.4, 4.4)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=":", label="as right as confident")
    series = [("as answered" if evaluated.temperature is None else "calibrated", 1.0, BLUE, "o", "-")]
    if evaluated.temperature is not None:
        series.append(("without temperature", evaluated.temperature, ORANGE, "s", "--"))
    for label, temperature, color, marker, line in series:
        each = reliability(targets, logits * temperature)
        sizes = 14 + 120 * each.count / max(1, each.count.max())
        axes.plot(
            each.confidence, each.accuracy, color=color, linewidth=1.4, linestyle=line, marker=marker, markersize=0
        )
        axes.scatter(each.confidence, each.accuracy, s=sizes, color=color, marker=marker, alpha=0.75, label=label)
    dress(
        axes,
        DESCRIPTION,
        "confidence: probability of the chosen class (0 to 1); larger marks: more decisions",
        "fraction right (0 to 1)",
    )
    axes.set(xlim=(0, 1.03), ylim=(0, 1.03))
    legend_above(figure, axes)
    save(figure, path)
