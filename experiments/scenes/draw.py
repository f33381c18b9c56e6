"""Draw scenes from a seed: colored shapes that hide parts of each other, on textured backgrounds.

Every pixel's object is known, so boxes, masks and outlines are exact. An object is kept only if what is visible of it is
one piece without holes, so that one polygon along the edges of pixels is its mask in every format.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from experiments.scenes.outline import Outline, outlines

SHAPES = ("circle", "cross", "ring", "square", "star", "triangle")
"""The classes, sorted."""
COLORS = {
    "blue": (50, 90, 200),
    "gray": (128, 128, 128),
    "green": (60, 160, 80),
    "orange": (225, 140, 40),
    "purple": (140, 80, 170),
    "red": (200, 50, 60),
}
SIDES = (160, 320)
"""The shortest and longest side of a scene, in pixels."""
_LEAST_VISIBLE = 0.4
_LEAST_PIXELS = 40

Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Shape:
    """One object: its class, color, and what is visible of it: the `mask (height, width)` and its outline."""

    label: str
    color: str
    mask: Bits
    outline: Outline

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """x_min, y_min, x_max and y_max of the visible part; the far edges are exclusive."""
        xs, ys = zip(*self.outline, strict=True)
        return min(xs), min(ys), max(xs), max(ys)


@dataclass(frozen=True)
class Scene:
    """One drawn image and its objects, from the back to the front."""

    name: str
    image: Image.Image
    shapes: tuple[Shape, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes that are present, sorted."""
        return tuple(sorted({shape.label for shape in self.shapes}))


def scene(seed: int, number: int, *, sides: tuple[int, int] = SIDES, most: int = 6, empty: float = 0.08) -> Scene:
    """Return scene `number` of the data set with this seed: up to `most` objects, and none in a fraction `empty` of the scenes."""
    rng = np.random.default_rng((seed, number))
    width, height = (int(side) for side in rng.integers(sides[0], sides[1] + 1, 2))
    canvas = _background(rng, width, height)
    count = 0 if rng.random() < empty else int(rng.integers(1, most + 1))
    shapes: list[Shape] = []
    for _ in range(count):
        shapes = _with_one_more(shapes, rng, width, height)
    for shape in shapes:
        canvas[shape.mask] = _surface(rng, COLORS[shape.color], int(shape.mask.sum()))
    return Scene(f"{number:05d}", Image.fromarray(canvas), tuple(shapes))


def _with_one_more(shapes: list[Shape], rng: np.random.Generator, width: int, height: int) -> list[Shape]:
    """Return the shapes with one more in front, or unchanged if the drawn one hides too much."""
    label, color = str(rng.choice(SHAPES)), str(rng.choice(list(COLORS)))
    mask = _drawn(label, rng, width, height)
    new = _seen(label, color, mask, 1)
    behind = [_seen(old.label, old.color, old.mask & ~mask, int(old.mask.sum())) for old in shapes]
    if new is None or None in behind:
        return shapes
    return [shape for shape in [*behind, new] if shape is not None]


def _seen(label: str, color: str, mask: Bits, before: int) -> Shape | None:
    """Return the object that is seen through `mask`, None if too little of its `before` pixels, or not one piece."""
    if mask.sum() < max(_LEAST_PIXELS, _LEAST_VISIBLE * before):
        return None
    loops = outlines(mask)
    return Shape(label, color, mask, loops[0]) if len(loops) == 1 else None


def _drawn(label: str, rng: np.random.Generator, width: int, height: int) -> Bits:
    """Return the mask of a shape of a random size, angle and place; it may leave the image."""
    radius = float(rng.uniform(0.09, 0.24)) * min(width, height)
    center = rng.uniform(0.05, 0.95, 2) * (width, height)
    angle = float(rng.uniform(0, 2 * math.pi))
    picture = Image.new("1", (width, height))
    points = np.array(_unit(label))
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    ImageDraw.Draw(picture).polygon([(float(x), float(y)) for x, y in points @ turn * radius + center], fill=1)
    return np.array(picture, dtype=bool)


def _unit(label: str) -> list[tuple[float, float]]:
    """Return the polygon of a shape in the unit circle. The ring has a gap, as holes have no polygon."""
    match label:
        case "circle":
            return _arc(1.0, 0.0, 2 * math.pi, 40)
        case "ring":
            return [*_arc(1.0, 0.5, 2 * math.pi - 0.5, 36), *reversed(_arc(0.55, 0.5, 2 * math.pi - 0.5, 36))]
        case "square":
            return _arc(1.0, 0.0, 2 * math.pi, 4)
        case "triangle":
            return _arc(1.0, 0.0, 2 * math.pi, 3)
        case "star":
            outer, inner = _arc(1.0, 0.0, 2 * math.pi, 5), _arc(0.42, math.pi / 5, 2.2 * math.pi, 5)
            return [point for pair in zip(outer, inner, strict=True) for point in pair]
        case _:
            a, b = 0.95, 0.3
            return [
                (a, -b),
                (a, b),
                (b, b),
                (b, a),
                (-b, a),
                (-b, b),
                (-a, b),
                (-a, -b),
                (-b, -b),
                (-b, -a),
                (b, -a),
                (b, -b),
            ]


def _arc(radius: float, start: float, end: float, points: int) -> list[tuple[float, float]]:
    steps = [start + (end - start) * i / points for i in range(points)]
    return [(radius * math.cos(t), radius * math.sin(t)) for t in steps]


def _background(rng: np.random.Generator, width: int, height: int) -> NDArray[np.uint8]:
    """Return clouds of two colors with stripes and fine noise: `(height, width, 3)`."""
    colors = rng.uniform(40, 215, (2, 3))
    cells = int(rng.integers(2, 12))
    coarse = Image.fromarray((rng.random((cells, cells)) * 255).astype(np.uint8))
    clouds = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=float)[..., None] / 255
    ys, xs = np.mgrid[:height, :width]
    angle, period = rng.uniform(0, math.pi), rng.uniform(6, 40)
    waves = np.sin((xs * math.cos(angle) + ys * math.sin(angle)) * 2 * math.pi / period)[..., None]
    values = colors[0] * clouds + colors[1] * (1 - clouds) + float(rng.uniform(0, 18)) * waves
    return _bytes(values + rng.normal(0, float(rng.uniform(2, 10)), values.shape))


def _surface(rng: np.random.Generator, color: tuple[int, int, int], pixels: int) -> NDArray[np.uint8]:
    """Return the colors of an object's pixels: its color in one light, with noise: `(pixels, 3)`."""
    lit = np.array(color) * rng.uniform(0.7, 1.25) + rng.normal(0, 12, 3)
    return _bytes(lit + rng.normal(0, 6, (pixels, 3)))


def _bytes(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(values, 0, 255).astype(np.uint8)
