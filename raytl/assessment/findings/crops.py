"""Sheets of crops: a thing in its photo, with what is annotated and what the model finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from raytl.sanitize import one_line
from raytl.tasks.drawing import font_of

ANNOTATED, PREDICTED = (0, 114, 178), (196, 78, 0)
"""The colors of boxes: annotations are blue, what the model finds is orange."""
_TILE, _GAP, _LINE, _COLUMNS = 220, 10, 18, 4
_AROUND = 0.75
"""What a crop shows around its box, as a fraction of the box's longer side."""
_INK, _PAPER, _OUTSIDE = (38, 50, 60), (255, 255, 255), (225, 228, 232)
Box = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Drawn:
    """A box in a color, with the width of its line."""

    box: Box
    color: tuple[int, int, int]
    width: int = 2


@dataclass(frozen=True, eq=False)
class Crop:
    """A part of a `photo` around a box, the `boxes` to draw, and `notes` of a line each."""

    photo: Image.Image
    around: Box
    boxes: tuple[Drawn, ...]
    notes: tuple[str, ...]


def crop_sheet(crops: Sequence[Crop]) -> Image.Image:
    """Return the crops in rows of four, each under its notes."""
    lines = max(len(each.notes) for each in crops)
    columns, height = min(_COLUMNS, len(crops)), _TILE + lines * _LINE + _GAP
    rows = -(-len(crops) // columns)
    sheet = Image.new("RGB", (columns * (_TILE + _GAP) + _GAP, rows * height + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for place, each in enumerate(crops):
        x, y = _GAP + place % columns * (_TILE + _GAP), _GAP + place // columns * height
        for line, text in enumerate(each.notes):
            draw.text((x, y + (line + 0.5) * _LINE), one_line(text, 32), font=font_of(12), fill=_INK, anchor="lm")
        sheet.paste(_tile(each), (x, y + lines * _LINE))
    return sheet


def _tile(crop: Crop) -> Image.Image:
    """Return the square part of the photo around the box, with the boxes that lie in it."""
    x0, y0, x1, y1 = crop.around.tolist()
    side = max(x1 - x0, y1 - y0, 16.0) * (1 + 2 * _AROUND)
    x, y = (x0 + x1 - side) / 2, (y0 + y1 - side) / 2
    tile = crop.photo.convert("RGB").transform(
        (_TILE, _TILE), Image.Transform.EXTENT, (x, y, x + side, y + side), Image.Resampling.BICUBIC, fillcolor=_OUTSIDE
    )
    draw, scale = ImageDraw.Draw(tile), _TILE / side
    for each in crop.boxes:
        x0, y0, x1, y1 = ((each.box - np.array([x, y, x, y])) * scale).tolist()
        if x0 < _TILE and y0 < _TILE and x1 > 0 and y1 > 0 and x1 > x0 and y1 > y0:
            draw.rectangle((x0, y0, x1, y1), outline=each.color, width=each.width)
    return tile
