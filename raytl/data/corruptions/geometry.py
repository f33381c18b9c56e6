"""Move pixels: the camera is tilted, or the image is deformed. Borders that become visible are mirrored."""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import grid_sample

from raytl.data.images import Pixels
from raytl.data.view_pixels import sampled

_CELLS = 8
"""Cells of the random field along each side."""


def elastic(pixels: Pixels, distance: float, rng: np.random.Generator) -> Pixels:
    """Move pixels by a smooth random field, by up to about this fraction of the shorter side (Simard et al. 2003)."""
    height, width, _ = pixels.shape
    fields = [Image.fromarray(rng.normal(size=(_CELLS, _CELLS)).astype(np.float32)) for _ in range(2)]
    size = (width, height)
    x, y = (np.asarray(field.resize(size, Image.Resampling.BICUBIC)) * distance / 2 * min(size) for field in fields)
    grid = np.stack(
        [(np.arange(width) + 0.5 + x) * 2 / width - 1, (np.arange(height)[:, None] + 0.5 + y) * 2 / height - 1], axis=-1
    ).astype(np.float32)
    source = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    moved = grid_sample(source, torch.from_numpy(grid)[None], padding_mode="reflection", align_corners=False)[0]
    return np.ascontiguousarray((moved + 0.5).to(torch.uint8).permute(1, 2, 0).numpy())


def rotation(pixels: Pixels, degrees: float, rng: np.random.Generator) -> Pixels:
    """Rotate about the center by this angle, in either direction; the size stays."""
    size = pixels.shape[0], pixels.shape[1]
    half = size[0] / 2, size[1] / 2
    sign = 1 if rng.random() < 0.5 else -1
    return sampled(pixels, half, half, sign * math.radians(degrees), size)
