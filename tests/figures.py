"""The faults of a drawn chart: texts that touch or are cut off, axes without titles, colors without an explanation."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from raytl.pages.figures import COLORS, RED

TOUCH_PX = 1.5
"""Boxes of texts include the room of letters that they do not have; they may share this many pixels at 110 dpi."""


def faults(figure: Figure, patch: pytest.MonkeyPatch) -> list[str]:
    """Draw the figure and return its faults; empty if there are none."""
    texts = drawn_texts(figure, patch)
    boxes = [(each.get_text(), each.get_window_extent()) for each in texts]
    found = [
        f"{one!r} and {other!r} touch"
        for (one, a), (other, b) in combinations(boxes, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > TOUCH_PX and min(a.y1, b.y1) - max(a.y0, b.y0) > TOUCH_PX
    ]
    width, height = figure.bbox.width, figure.bbox.height
    found += [
        f"{text!r} is cut off"
        for text, box in boxes
        if box.x0 < -TOUCH_PX or box.y0 < -TOUCH_PX or box.x1 > width + TOUCH_PX or box.y1 > height + TOUCH_PX
    ]
    return found + _untitled(figure) + _unexplained(figure)


def saved(patch: pytest.MonkeyPatch) -> list[Figure]:
    """Return a list that every figure enters that is saved from now on, instead of a file."""
    figures: list[Figure] = []

    def keep(figure: Figure) -> bytes:
        figures.append(figure)
        return b""

    patch.setattr("raytl.run.plots.png", keep)
    return figures


def drawn_texts(figure: Figure, patch: pytest.MonkeyPatch) -> list[Text]:
    """Return the texts that reach the picture: an axis keeps labels of ticks that it does not draw."""
    texts: dict[int, Text] = {}
    draw = Text.draw

    def recorded(self: Text, renderer: Any, *args: Any, **kwargs: Any) -> None:
        if self.get_visible() and self.get_text().strip():
            texts[id(self)] = self
        draw(self, renderer, *args, **kwargs)

    with patch.context() as context:
        context.setattr(Text, "draw", recorded)
        figure.canvas.draw()
    return list(texts.values())


def _untitled(figure: Figure) -> list[str]:
    shown = [axes for axes in figure.axes if axes.get_visible() and axes.axison]
    rows = {axes.get_title(loc="left") or axes.get_ylabel() for axes in shown}
    lines = [f"panel {place} has no title below" for place, axes in enumerate(shown) if _is_bare(axes)]
    return lines + (
        ["no vertical axis has a title"] if shown and rows == {""} and not _has_named_rows(shown[0]) else []
    )


def _is_bare(axes: Any) -> bool:
    return not axes.get_xlabel() and axes.get_label() != "<colorbar>"


def _has_named_rows(axes: Any) -> bool:
    """Return True if the vertical axis names things, such as classes, and so needs no unit."""
    return any(not each.get_text().replace(".", "").isdigit() for each in axes.get_yticklabels())


def _unexplained(figure: Figure) -> list[str]:
    legends = [each for each in (*figure.legends, *(axes.get_legend() for axes in figure.axes)) if each]
    explained = {_color(handle) for legend in legends for handle in legend.legend_handles}
    lines = [line for axes in figure.axes for line in axes.get_lines() if len(line.get_xdata())]  # type: ignore[arg-type]
    used = {_color(line) for line in lines} & {*COLORS, RED}
    return [f"{color} is not in a legend" for color in sorted(used - explained)]


def _color(artist: Any) -> str:
    return to_hex(artist.get_color() if hasattr(artist, "get_color") else artist.get_facecolor())
