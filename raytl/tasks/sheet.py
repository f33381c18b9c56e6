"""Set truth and prediction side by side, and the worst images of an evaluation as one contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from raytl.sanitize import one_line
from raytl.tasks.drawing import font_of

PANEL_PX = 460
"""The longer side of a photo on a contact sheet; draw pictures at this size, so that their text stays sharp."""
_COLUMNS = 2
_GAP = 10
_MARGIN = 22
_LINE = 18
_INK, _FAINT, _PAPER = (38, 50, 60), (87, 96, 106), (255, 255, 255)


@dataclass(frozen=True, eq=False)
class Pair:
    """Truth and prediction of one image, drawn; `name` is its path, `note` the mistakes in a few words, `heading` the title of
    the left picture."""

    truth: Image.Image
    prediction: Image.Image
    name: str
    note: str = ""
    heading: str = "truth"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of both pictures side by side under their headings."""
        width = self.truth.width + _GAP + self.prediction.width
        return width, max(self.truth.height, self.prediction.height) + 2 * _LINE


def side_by_side(pair: Pair) -> Image.Image:
    """Return the truth on the left and the prediction on the right, under headings and the name of the image."""
    sheet = Image.new("RGB", pair.size, _PAPER)
    _add(sheet, pair, 0, 0)
    return sheet


def contact_sheet(pairs: Sequence[Pair], title: str) -> Image.Image:
    """Return all pairs in two columns, in their order; without pairs, a line of text."""
    rows = [pairs[start : start + _COLUMNS] for start in range(0, len(pairs), _COLUMNS)]
    widths = [max((row[i].size[0] for row in rows if i < len(row)), default=0) for i in range(_COLUMNS)]
    width = max(sum(widths) + (sum(each > 0 for each in widths) + 1) * _MARGIN, 480)
    heights = [max(pair.size[1] for pair in row) + _MARGIN for row in rows] or [60]
    sheet = Image.new("RGB", (width, 44 + sum(heights)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, 24), one_line(title, width // 11), font=font_of(17), fill=_INK, anchor="lm")
    y = 44
    for row, height in zip(rows, heights, strict=True) if rows else ():
        for i, pair in enumerate(row):
            _add(sheet, pair, _MARGIN + i * (widths[0] + _MARGIN), y)
        y += height
    if not rows:
        draw.text((_MARGIN, 64), "No images.", font=font_of(14), fill=_FAINT, anchor="lm")
    return sheet


def _add(sheet: Image.Image, pair: Pair, x: int, y: int) -> None:
    """Draw the pair with its upper left corner at (x, y)."""
    draw, middle = ImageDraw.Draw(sheet), x + pair.truth.width + _GAP
    heading = "prediction" + (f": {pair.note}" if pair.note else "")
    draw.text((x, y + _LINE / 2), pair.heading, font=font_of(13), fill=_INK, anchor="lm")
    draw.text(
        (middle, y + _LINE / 2), one_line(heading, pair.prediction.width // 8), font=font_of(13), fill=_INK, anchor="lm"
    )
    sheet.paste(pair.truth, (x, y + _LINE))
    sheet.paste(pair.prediction, (middle, y + _LINE))
    below = y + pair.size[1] - _LINE / 2
    name = one_line(pair.name, pair.size[0] // 7, tail=True)
    draw.text((x, below), name, font=font_of(11), fill=_FAINT, anchor="lm")
