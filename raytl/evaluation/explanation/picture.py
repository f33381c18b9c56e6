"""Draw a photo beside the map of the evidence: a title, both pictures, a scale, and the name of the photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from raytl.evaluation.explanation.heat import Floats
from raytl.sanitize import one_line
from raytl.tasks.colors import Color
from raytl.tasks.drawing import font_of

MAX_PX, MIN_PX = 800, 360
"""Limits of the longer side of each picture."""
_RAMP: tuple[Color, ...] = ((22, 11, 57), (95, 19, 110), (169, 46, 94), (229, 89, 52), (252, 165, 10), (252, 255, 164))
"""Colors from no evidence to the most, equally spaced: inferno, whose brightness rises evenly (van der Walt & Smith 2015)."""
_INK: Color = (38, 50, 60)
_SOFT: Color = (87, 96, 106)
_BAD: Color = (180, 30, 30)
_PAPER: Color = (255, 255, 255)
_GAP, _MARGIN, _LINE, _BAR = 10, 12, 20, 16
_COVER = 0.8
_MIN_COLUMN = 240
"""Pixels for the texts below each picture, however narrow the photo."""
_UNSEEN = 0.35


@dataclass(frozen=True, slots=True)
class Caption:
    """The texts of a picture: the `title`, and whether it tells of a mistake, a note on the map, the lower end of the scale, and
    the photo's name."""

    title: str
    is_wrong: bool
    note: str
    low: str
    name: str


def overlay(canvas: Image.Image, heat: Floats, seen: NDArray[np.bool_], low: float = 0.0) -> Image.Image:
    """Return the photo in gray under the colors of `heat (h, w)`, scaled from `low` to its maximum; darkened where the network
    sees nothing."""
    gray = np.asarray(canvas.convert("L"), dtype=np.float64)[..., None].repeat(3, axis=2)
    span = float(heat.max()) - low
    level = np.clip((heat - low) / span, 0, 1) if span > 0 else np.zeros_like(heat)
    cover = (_COVER * level)[..., None]
    mixed = gray * (1 - cover) + _colored(level) * cover
    mixed[~seen] = gray[~seen] * _UNSEEN
    return Image.fromarray(mixed.round().astype(np.uint8))


def sheet(photo: Image.Image, drawn: Image.Image, caption: Caption) -> Image.Image:
    """Return both pictures, which have one size, with the texts and the scale of the colors."""
    column = max(photo.width, _MIN_COLUMN)
    width = column * 2 + _GAP + 2 * _MARGIN + 3 * _BAR + 20
    page = Image.new("RGB", (width, photo.height + 3 * _LINE + 2 * _MARGIN), _PAPER)
    draw, top = ImageDraw.Draw(page), _MARGIN + _LINE + 4
    title = one_line(caption.title, (width - 2 * _MARGIN) // 9)
    draw.text(
        (_MARGIN, _MARGIN + _LINE / 2 - 2),
        title,
        font=font_of(15),
        fill=_BAD if caption.is_wrong else _INK,
        anchor="lm",
    )
    second = _MARGIN + column + _GAP
    page.paste(photo, (_MARGIN, top))
    page.paste(drawn, (second, top))
    _scale(page, (second + drawn.width + 8, top), drawn.height, caption.low)
    below = top + photo.height + _LINE / 2 + 2
    name = one_line(caption.name, column // 7, tail=True)
    draw.text((_MARGIN, below), name, font=font_of(11), fill=_SOFT, anchor="lm")
    draw.text((second, below), one_line(caption.note, column // 6), font=font_of(11), fill=_SOFT, anchor="lm")
    return page


def _scale(page: Image.Image, corner: tuple[int, int], height: int, low: str) -> None:
    """Draw the colors from the lower end (bottom) to the maximum (top) of the map."""
    x, y = corner
    level = np.linspace(1, 0, height)[:, None].repeat(_BAR, axis=1)
    page.paste(Image.fromarray(_colored(level).round().astype(np.uint8)), (x, y))
    draw = ImageDraw.Draw(page)
    draw.rectangle((x - 1, y - 1, x + _BAR, y + height), outline=_SOFT)
    for text, at in (("max", y + 6), (low, y + height - 6)):
        draw.text((x + _BAR + 6, at), text, font=font_of(11), fill=_SOFT, anchor="lm")


def _colored(level: Floats) -> Floats:
    """Return the color of each value in [0, 1], `(h, w, 3)`."""
    stops = np.linspace(0, 1, len(_RAMP))
    return np.stack([np.interp(level, stops, channel) for channel in np.array(_RAMP, np.float64).T], axis=-1)
