"""Files, resolution and dirt: Pillow's and torch's own results where there are some."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image

from raytl.data.corruptions.damage import dirt, jpeg, low_resolution, pixelate, transmission
from tests.data.corruptions.scene import scene

RNG = np.random.default_rng(0)


def test_jpeg_is_pillows() -> None:
    pixels, file = scene(), io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=12)
    assert (jpeg(pixels, 12, RNG) == np.array(Image.open(file))).all()


def test_pixels_are_torchs_averages_of_blocks() -> None:
    pixels = scene(32, 48)
    blocks = torch.nn.functional.avg_pool2d(torch.from_numpy(pixels).permute(2, 0, 1).double(), 4)
    enlarged = blocks.repeat_interleave(4, 1).repeat_interleave(4, 2).permute(1, 2, 0).numpy()
    assert np.abs(pixelate(pixels, 4, RNG) - enlarged).max() <= 1  # Pillow rounds between its two passes


def test_low_resolution_is_smooth() -> None:
    pixels = scene(32, 48)
    smooth, blocks = low_resolution(pixels, 8, RNG), pixelate(pixels, 8, RNG)
    steps = [np.abs(np.diff(each.astype(int), axis=1)).max() for each in (smooth, blocks)]
    assert steps[0] < steps[1] / 2


def test_dirt_only_absorbs_and_stays_where_it_is() -> None:
    few, many = (transmission(60, 80, spots, np.random.default_rng(3)) for spots in (5, 20))
    assert ((many >= 0) & (many <= few) & (few <= 1)).all()
    assert (few < 0.5).any() and (many == 1).mean() > 0.3


def test_dirt_beside_the_spots_changes_nothing() -> None:
    pixels = scene(60, 80)
    clear = transmission(60, 80, 14, np.random.default_rng(3)) == 1
    assert (dirt(pixels, 14, np.random.default_rng(3))[clear] == pixels[clear]).all()
