"""The chart of answers against severity, one panel for each corruption, and the sheet that shows the severities."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from raytl.data.corruptions.corruption import SEVERITIES, Corruption
from raytl.evaluation.robustness import A, Response, Robustness, ScoreRobustness
from raytl.metrics.intervals import Interval
from raytl.metrics.robustness import Answered, Scored
from raytl.pages.figures import BLUE, GREEN, ORANGE, RED, dots, dress, legend_above, new_figure
from raytl.tasks.drawing import font_of

_TILE, _GAP, _LINE = 150, 6, 22
_INK, _PAPER = (38, 50, 60), (255, 255, 255)
_PANEL_IN = 1.95
Chart = Callable[[float], Any]


def response_chart(result: Robustness) -> Chart:
    """Return the chart of accuracy and confidence by severity, one panel for each corruption."""

    def panel(axes: Any, response: Response[Answered]) -> None:
        answers = (result.clean, *response.severities)
        _series(axes, [each.accuracy for each in answers], "right", response.breaks_at)
        _line(axes, [each.confidence for each in answers], "confidence", ORANGE, "s")

    return _chart(result.responses, panel)


def score_chart(result: ScoreRobustness, score: str) -> Chart:
    """Return the chart of the mean score of images by severity, and of the confidence of findings beside the fraction that is
    right, one panel for each corruption."""

    def panel(axes: Any, response: Response[Scored]) -> None:
        answers = (result.clean, *response.severities)
        _series(axes, [each.score for each in answers], score, response.breaks_at)
        _line(axes, [each.confidence for each in answers], "confidence", ORANGE, "s")
        _line(axes, [each.correct for each in answers], "right", GREEN, "^")

    return _chart(result.responses, panel)


def _chart(responses: Sequence[Response[A]], panel: Callable[[Any, Response[A]], None]) -> Chart:
    def chart(width: float) -> Any:
        columns = max(2, int(width / 2.3))
        rows = math.ceil(len(responses) / columns)
        figure = new_figure(width, _PANEL_IN * rows + 0.5)
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel().tolist()
        for place, (axes, response) in enumerate(zip(panels, responses, strict=False)):
            panel(axes, response)
            is_last = place + columns >= len(responses)
            dress(
                axes, response.corruption, "severity" if is_last else "", "" if place % columns else "fraction (0 to 1)"
            )
            axes.tick_params(labelbottom=is_last)
        for axes in panels[len(responses) :]:
            axes.set_visible(False)
        legend_above(figure, panels[: len(responses)])
        return figure

    return chart


def _series(axes: Any, intervals: Sequence[Interval], name: str, breaks_at: int | None) -> None:
    """Draw a value with its intervals by severity, and a cross where it breaks."""
    steps, values = list(range(len(intervals))), [each.value for each in intervals]
    axes.vlines(
        steps, [each.low for each in intervals], [each.high for each in intervals], color=BLUE, alpha=0.35, lw=5
    )
    axes.plot(steps, values, color=BLUE, linewidth=1.4)
    tips = [f"severity {i}: {100 * each:.1f} % {name}" for i, each in enumerate(values)]
    dots(axes, steps, values, BLUE, label=f"{name} (95 % interval)", tips=tips)
    if breaks_at is not None:
        style: dict[str, Any] = {"markersize": 10, "markeredgewidth": 2}
        dots(axes, [breaks_at], [values[breaks_at]], RED, "x", label="first loss beyond chance", **style)
    axes.set(xlim=(-0.25, len(steps) - 0.75), ylim=(0, 1.05), xticks=steps, yticks=[0, 0.5, 1])


def _line(axes: Any, values: Sequence[float], name: str, color: str, marker: str) -> None:
    """Draw a value without an interval by severity."""
    axes.plot(range(len(values)), values, color=color, linewidth=1.4, linestyle="--")
    tips = [f"severity {i}: {100 * each:.1f} % {name}" for i, each in enumerate(values)]
    dots(axes, list(range(len(values))), list(values), color, marker, label=name, tips=tips, markersize=4.5)


def corruption_sheet(examples: NDArray[np.uint8], suite: Sequence[Corruption]) -> Image.Image:
    """Return a row for each corruption: an example `(px, px, 3)` unchanged, and at each severity with its amount."""
    count = 1 + len(SEVERITIES)
    row = _TILE + _LINE + _GAP
    sheet = Image.new("RGB", (count * (_TILE + _GAP) + _GAP, row * len(suite) + _GAP), _PAPER)
    for place, corruption in enumerate(suite):
        pixels = examples[place % len(examples)]
        versions = [pixels, *(corruption(pixels, severity, str(place)) for severity in SEVERITIES)]
        texts = [corruption.name, *(f"{i}: {each:g}" for i, each in zip(SEVERITIES, corruption.amounts, strict=True))]
        for column, (version, text) in enumerate(zip(versions, texts, strict=True)):
            _tile(sheet, version, text, _GAP + column * (_TILE + _GAP), _GAP + place * row)
    return sheet


def _tile(sheet: Image.Image, pixels: NDArray[np.uint8], text: str, x: int, y: int) -> None:
    """Draw an image with its upper left corner at (x, y), under its text."""
    draw = ImageDraw.Draw(sheet)
    draw.text((x, y + _LINE / 2), text, font=font_of(14), fill=_INK, anchor="lm")
    sheet.paste(Image.fromarray(pixels).resize((_TILE, _TILE), Image.Resampling.BICUBIC), (x, y + _LINE))
