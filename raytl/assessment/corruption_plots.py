"""The chart of answers against severity, one panel for each corruption, and the sheet that shows the severities."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from raytl.data.corruptions.corruption import SEVERITIES, Corruption
from raytl.evaluation.robustness import Response, Robustness
from raytl.metrics.robustness import Answered
from raytl.pages.figures import BLUE, ORANGE, RED, dots, dress, legend_above, new_figure
from raytl.tasks.drawing import font_of

_TILE, _GAP, _LINE = 150, 6, 22
_INK, _PAPER = (38, 50, 60), (255, 255, 255)
_PANEL_IN = 1.95


def response_chart(result: Robustness) -> Callable[[float], Any]:
    """Return the chart of accuracy and confidence by severity, one panel for each corruption."""

    def chart(width: float) -> Any:
        columns = max(2, int(width / 2.3))
        rows = math.ceil(len(result.responses) / columns)
        figure = new_figure(width, _PANEL_IN * rows + 0.5)
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel().tolist()
        for place, (axes, response) in enumerate(zip(panels, result.responses, strict=False)):
            _panel(axes, result.clean, response)
            is_last = place + columns >= len(result.responses)
            dress(
                axes, response.corruption, "severity" if is_last else "", "" if place % columns else "fraction (0 to 1)"
            )
            axes.tick_params(labelbottom=is_last)
        for axes in panels[len(result.responses) :]:
            axes.set_visible(False)
        legend_above(figure, panels[: len(result.responses)])
        return figure

    return chart


def _panel(axes: Any, clean: Answered, response: Response[Answered]) -> None:
    answers, steps = (clean, *response.severities), range(1 + len(response.severities))
    accuracy = [each.accuracy for each in answers]
    values = [each.value for each in accuracy]
    axes.vlines(steps, [each.low for each in accuracy], [each.high for each in accuracy], color=BLUE, alpha=0.35, lw=5)
    axes.plot(steps, values, color=BLUE, linewidth=1.4)
    tips = [f"severity {i}: {100 * each.value:.1f} % right" for i, each in enumerate(accuracy)]
    dots(axes, list(steps), values, BLUE, label="right (95 % interval)", tips=tips)
    sure = [each.confidence for each in answers]
    axes.plot(steps, sure, color=ORANGE, linewidth=1.4, linestyle="--")
    tips = [f"severity {i}: {100 * each:.1f} % confident" for i, each in enumerate(sure)]
    dots(axes, list(steps), sure, ORANGE, "s", label="confidence", tips=tips, markersize=4.5)
    if (at := response.breaks_at) is not None:
        style: dict[str, Any] = {"markersize": 10, "markeredgewidth": 2}
        dots(axes, [at], [values[at]], RED, "x", label="first loss beyond chance", **style)
    axes.set(xlim=(-0.25, len(answers) - 0.75), ylim=(0, 1.05), xticks=list(steps), yticks=[0, 0.5, 1])


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
