"""Draw the parameters of one augmented view. Every part has its own random numbers, so switching one off changes no other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from raytl.config.schema import AugmentConfig

_AUGMENT_STREAM = 0x617567  # "aug": separates these draws from those of the epoch's order


@dataclass(frozen=True, slots=True)
class Color:
    """Factors of brightness, contrast and saturation (1 = unchanged), and a hue rotation in radians."""

    brightness: float
    contrast: float
    saturation: float
    hue: float


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels; fractions matter only if it is rotated."""

    top: float
    left: float
    height: float
    width: float


@dataclass(frozen=True, slots=True)
class Draw:
    """The drawn parameters for one image: crop `box` rotated by `angle`, resize, flip, rotate, color, blur, erase."""

    box: Box | None
    angle: float
    hflip: bool
    vflip: bool
    quarter_turns: int
    color: Color | None
    blur: float
    erase: Box | None


def sample_rng(seed: int, epoch: int, sample: int) -> np.random.Generator:
    """Return the random numbers of one sample in one epoch, the same on every worker; global state is not touched."""
    key = [(seed << 32) | epoch, (_AUGMENT_STREAM << 40) | sample]
    return np.random.Generator(np.random.Philox(key=np.array(key, dtype=np.uint64)))


def numbers(rng: np.random.Generator) -> list[float]:
    """Return the random numbers of one view: the first four are those of the crop."""
    return [float(u) for u in rng.random(24)]


def drawn(config: AugmentConfig, u: list[float], box: Box | None, view: tuple[int, int]) -> Draw:
    """Return the draw for these random numbers; `box` is the crop, `view` the (height, width) of the view."""
    c, s = config, config.strength
    rotated = c.rotation and u[7] < s / 2
    return Draw(
        box=box,
        angle=math.radians(20 * s) * signed(u[8]) if rotated else 0.0,
        hflip=c.hflip and u[4] < 0.5,
        vflip=c.vflip and u[5] < 0.5,
        quarter_turns=int(4 * u[6]) if c.rotate90 else 0,
        color=_drawn_color(s, u[9:15]) if c.color and s > 0 else None,
        blur=(0.1 + 0.9 * u[16]) * 2 * s * min(view) / 224 if c.blur and u[15] < s / 2 else 0.0,
        erase=_drawn_patch(view, u[18:22]) if u[17] < c.erasing else None,
    )


def signed(u: float) -> float:
    """Map [0, 1) to [-1, 1)."""
    return 2 * u - 1


def _drawn_color(strength: float, u: list[float]) -> Color | None:
    if u[0] >= 0.8:
        return None
    brightness, contrast, saturation = ((1 + 0.6 * strength) ** signed(x) for x in u[1:4])
    gray = u[5] < strength / 10
    return Color(brightness, contrast, 0.0 if gray else saturation, math.radians(18 * strength) * signed(u[4]))


def _drawn_patch(view: tuple[int, int], u: list[float]) -> Box:
    """Return a rectangle of 2 to 20 % of the view (Zhong et al. 2020)."""
    area, aspect = view[0] * view[1] * (0.02 + 0.18 * u[0]), 3.0 ** signed(u[1])
    h, w = (max(1, round(math.sqrt(area * a))) for a in (aspect, 1 / aspect))
    h, w = min(h, view[0]), min(w, view[1])
    return Box(int(u[2] * (view[0] - h + 1)), int(u[3] * (view[1] - w + 1)), h, w)
