"""Draw boxes, masks and class maps over a photo. Large photos are drawn on a reduced copy, small ones on an enlarged copy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from raytl.metrics.segmentation import VOID
from raytl.run.plots import font_file
from raytl.sanitize import one_line
from raytl.tasks.colors import Color, class_color, ink_on

MAX_SIDE, MIN_SIDE = 1600, 480
_MAX_COVERED = 0.08
"""Maximum part of a picture that the texts of boxes may cover."""
_NAME_LENGTH = 24
_FILL = 0.42
_HALO: Color = (0, 0, 0)
_VOID_ENTRY: tuple[Color, str] = ((90, 90, 90), "void")

Bools = NDArray[np.bool_]
V = TypeVar("V", bound=np.generic)


def fitted(image: Image.Image, max_side: int = MAX_SIDE, min_side: int = MIN_SIDE) -> Image.Image:
    """Return an RGB copy whose longer side is between `min_side` and `max_side` pixels."""
    longer = max(image.size)
    scale = min(1.0, max_side / longer) if longer > min_side else min(max_side, min_side) / longer
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    copy = image.convert("RGB")
    return copy.copy() if size == copy.size else copy.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def draw_boxes(
    image: Image.Image,
    boxes: NDArray[np.float32],
    labels: NDArray[np.int64],
    scores: NDArray[np.float32] | None,
    names: Sequence[str],
    max_side: int = MAX_SIDE,
) -> Image.Image:
    """Return a copy of the photo with the `boxes (n, 4)` in its pixels, x_min, y_min, x_max, y_max, with class and score.

    `scores (n,)` are None for a truth. `labels (n,)` are places in `names`.
    """
    canvas = fitted(image, max_side)
    _add_boxes(canvas, _scaled(boxes, image, canvas), labels, scores, names)
    return canvas


def draw_masks(
    image: Image.Image,
    masks: Iterable[Bools],
    boxes: NDArray[np.float32],
    labels: NDArray[np.int64],
    scores: NDArray[np.float32] | None,
    names: Sequence[str],
    max_side: int = MAX_SIDE,
) -> Image.Image:
    """Return a copy of the photo with each of the `masks (h, w)` of its size filled and outlined, and with its box.

    Masks are used one at a time, so an iterator need not hold all of them. The rest as in `draw_boxes`.
    """
    canvas = fitted(image, max_side)
    pixels = np.asarray(canvas).copy()
    for order, (mask, label) in enumerate(zip(masks, labels.tolist(), strict=True)):
        _fill(pixels, _resized(mask, canvas.size), class_color(label), order)
    canvas = Image.fromarray(pixels)
    _add_boxes(canvas, _scaled(boxes, image, canvas), labels, scores, names, thin=True)
    return canvas


def draw_classes(
    image: Image.Image,
    class_map: NDArray[np.uint8],
    names: Sequence[str],
    max_side: int = MAX_SIDE,
    *,
    with_legend: bool = True,
) -> Image.Image:
    """Return a copy of the photo under the colors of its `class_map (h, w)`, void pixels darkened, with a legend below.

    The class `background` is left as it is.
    """
    canvas = fitted(image, max_side)
    resized = _resized(class_map, canvas.size)
    pixels = np.asarray(canvas).astype(np.float32)
    present = np.unique(resized).tolist()
    for place in present:
        if place == VOID or not _is_background(names[place]):
            color = np.array((0, 0, 0) if place == VOID else class_color(place), dtype=np.float32)
            inside = resized == place
            pixels[inside] += (color - pixels[inside]) * _FILL
    pixels[_edges(resized)] = 255
    drawn = Image.fromarray(pixels.round().astype(np.uint8))
    return legend(drawn, present, names) if with_legend else drawn


def _is_background(name: str) -> bool:
    return name.casefold() == "background"


def legend(picture: Image.Image, places: Sequence[int], names: Sequence[str]) -> Image.Image:
    """Return the picture above the color and name of the classes of a class map at `places`, void too, but `background`."""
    colored = [place for place in places if place != VOID and not _is_background(names[place])]
    return _above(picture, [*_entries(colored, names), *[_VOID_ENTRY] * (VOID in places)])


def _entries(places: Sequence[int], names: Sequence[str]) -> list[tuple[Color, str]]:
    return [(class_color(place), one_line(names[place], 28)) for place in places]


def _above(picture: Image.Image, entries: Sequence[tuple[Color, str]]) -> Image.Image:
    """Return the picture above a white strip with colors and names."""
    font, row, margin = font_of(13), 24, 8
    spots, x, y = list[tuple[int, int]](), margin, picture.height + 6
    for _, name in entries:
        width = 28 + round(font.getlength(name)) + 2 * margin
        if x + width > picture.width and x > margin:
            x, y = margin, y + row
        spots.append((x, y))
        x += width
    sheet = Image.new("RGB", (picture.width, y + row), (255, 255, 255))
    sheet.paste(picture)
    draw = ImageDraw.Draw(sheet)
    for (color, name), (left, top) in zip(entries, spots, strict=True):
        draw.rectangle((left, top + 3, left + 18, top + 15), fill=color, outline=(60, 60, 60))
        draw.text((left + 25, top + 9), name, font=font, fill=(38, 50, 60), anchor="lm")
    return sheet


def with_names(picture: Image.Image, labels: NDArray[np.int64], names: Sequence[str]) -> Image.Image:
    """Return the picture above the colors and names of the classes of its objects, `labels (n,)`; as it is without objects."""
    return _above(picture, _entries(np.unique(labels).tolist(), names)) if len(labels) else picture


@cache
def font_of(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of the charts at `size` pixels."""
    return ImageFont.truetype(str(font_file()), size)


def _scaled(boxes: NDArray[np.float32], image: Image.Image, canvas: Image.Image) -> NDArray[np.float64]:
    """Return boxes `(n, 4)` in the pixels of the canvas."""
    scale = np.array(canvas.size * 2, dtype=np.float64) / np.array(image.size * 2)
    return np.asarray(np.asarray(boxes, dtype=np.float64).reshape(-1, 4) * scale)


def _add_boxes(
    canvas: Image.Image,
    boxes: NDArray[np.float64],
    labels: NDArray[np.int64],
    scores: NDArray[np.float32] | None,
    names: Sequence[str],
    thin: bool = False,
) -> None:
    """Draw the boxes onto the canvas, the highest score last; names only if there are few boxes."""
    draw = ImageDraw.Draw(canvas)
    width = 1 if thin else max(2, round(max(canvas.size) / 400))
    order = range(len(boxes)) if scores is None else np.argsort(scores, kind="stable").tolist()
    for i in order:
        _rectangle(draw, boxes[i], class_color(int(labels[i])), width)
    texts = _texts(canvas.size, labels, scores, names)
    for i in order if texts else ():
        _chip(draw, canvas.size, boxes[i], class_color(int(labels[i])), texts[i])


def _texts(
    size: tuple[int, int], labels: NDArray[np.int64], scores: NDArray[np.float32] | None, names: Sequence[str]
) -> list[str]:
    """Return the texts of boxes: name and score, only scores if that hides too much or there is one class, or nothing."""
    called = [one_line(names[label], _NAME_LENGTH) if len(names) > 1 else "" for label in labels.tolist()]
    rated = [
        "" if scores is None else f"{100 * score:.0f}"
        for score in ([0.0] * len(labels) if scores is None else scores.tolist())
    ]
    height = _text_height(size)
    for texts in ([f"{name} {score}".strip() for name, score in zip(called, rated, strict=True)], rated):
        covered = sum(font_of(height).getlength(text) + 6 for text in texts if text) * (height + 3)
        if covered <= _MAX_COVERED * size[0] * size[1]:
            return texts
    return []


def _text_height(size: tuple[int, int]) -> int:
    return min(16, max(10, round(max(size) / 55)))


def _rectangle(draw: ImageDraw.ImageDraw, box: NDArray[np.float64], color: Color, width: int) -> None:
    """Outline the box in color on a dark halo, so that it shows on light and on dark; a tiny box stays visible."""
    left, top = (int(np.floor(edge)) for edge in box[:2])
    end, bottom = max(left + width, int(np.ceil(box[2])) - 1), max(top + width, int(np.ceil(box[3])) - 1)
    draw.rectangle((left - 1, top - 1, end + 1, bottom + 1), outline=_HALO, width=width + 2 if width > 1 else 1)
    draw.rectangle((left, top, end, bottom), outline=color, width=width)


def _chip(draw: ImageDraw.ImageDraw, size: tuple[int, int], box: NDArray[np.float64], color: Color, text: str) -> None:
    """Write the text on a patch of the color above the box, or inside it at the upper border of the picture."""
    if not text:
        return
    height = _text_height(size)
    font = font_of(height)
    width = round(font.getlength(text)) + 6
    left = min(max(0, int(box[0])), max(0, size[0] - width))
    top = int(box[1]) - height - 3
    top = min(max(0, int(box[1])), size[1] - height - 3) if top < 0 else min(top, size[1] - height - 3)
    draw.rectangle((left, top, left + width, top + height + 2), fill=color)
    draw.text((left + 3, top + (height + 2) / 2), text, font=font, fill=ink_on(color), anchor="lm")


def _resized(values: NDArray[V], size: tuple[int, int]) -> NDArray[V]:
    """Return the nearest values of `(h, w)` at another (width, height)."""
    rows = ((np.arange(size[1]) + 0.5) * values.shape[0] / size[1]).astype(np.intp)
    columns = ((np.arange(size[0]) + 0.5) * values.shape[1] / size[0]).astype(np.intp)
    return values[np.ix_(rows, columns)]


def _fill(pixels: NDArray[np.uint8], mask: Bools, color: Color, order: int) -> None:
    """Tint the pixels of a mask and draw its outline; `order` varies the tint, so that neighbors of a class differ."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    area = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inside, part = mask[area], pixels[area]
    tint = np.array(color, dtype=np.float32) * (1.0, 0.7, 0.85)[order % 3]
    part[inside] = (part[inside] + (tint - part[inside]) * _FILL).round().astype(np.uint8)
    line = inside & ~_eroded(inside, max(1, round(max(pixels.shape) / 300)))
    part[line] = color


def _eroded(mask: Bools, times: int) -> Bools:
    """Return the mask without its pixels within `times` of its border (in steps along rows and columns)."""
    padded = np.pad(mask, 1)
    for _ in range(times):
        inner = padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        padded = np.pad(inner, 1)
    return padded[1:-1, 1:-1]


def _edges(classes: NDArray[np.generic]) -> Bools:
    """Return the pixels whose right or lower neighbor is of another class."""
    edges = np.zeros(classes.shape, dtype=np.bool_)
    edges[:, :-1] |= classes[:, :-1] != classes[:, 1:]
    edges[:-1] |= classes[:-1] != classes[1:]
    return edges
