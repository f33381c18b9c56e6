"""Colors change as torchvision changes them, and a rotated window shows what its placement says."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from raytl.data.draw import Color
from raytl.data.placement import window
from raytl.data.view_pixels import recolored, sampled
from tests.data.scenes import smooth


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
@pytest.mark.parametrize("factor", [0.7, 1.0, 1.3])
def test_colour_is_torchvisions(name: str, factor: float) -> None:
    view = (smooth(32, 32) // 2 + 40).astype(np.uint8)  # far from 0 and 255, where torchvision clips between its steps
    color = replace(Color(1.0, 1.0, 1.0, 0.0), **{name: factor})
    expected = getattr(tv, f"adjust_{name}")(torch.from_numpy(view).permute(2, 0, 1), factor)
    difference = np.abs(recolored(view, color).astype(int) - expected.permute(1, 2, 0).numpy().astype(int))
    assert difference.max() <= 2  # the mean grey is of every eighth pixel


def test_a_turn_of_the_hue_keeps_greys_and_moves_colours() -> None:
    grey = np.full((8, 8, 3), 90, dtype=np.uint8)
    turn = Color(1.0, 1.0, 1.0, math.radians(18))
    assert np.abs(recolored(grey, turn).astype(int) - 90).max() <= 1
    assert np.abs(recolored(smooth(), turn).astype(int) - smooth()).max() > 10


def test_no_saturation_is_grey() -> None:
    grey = recolored(smooth(), Color(1.0, 1.0, 0.0, 0.0))
    assert np.ptp(grey.astype(int), axis=-1).max() <= 1


def test_a_rotated_window_shows_the_points_of_its_placement() -> None:
    y, x = np.mgrid[0:40, 0:60]
    ramps = np.stack([4 * x, 6 * y, 0 * x], axis=-1).astype(np.uint8)
    at = (21.0, 33.0), (9.0, 14.0), 0.3
    view = sampled(ramps, *at, (30, 20))
    points = window(*at, (30, 20)).inverse((40, 60)).points(np.array([[0.5, 0.5], [19.5, 3.5], [8.5, 29.5]]))
    seen = np.array([view[0, 0], view[3, 19], view[29, 8]])
    np.testing.assert_allclose(seen[:, :2], (points - 0.5) * [4, 6], atol=0.51)


def test_outside_of_the_image_a_rotated_window_shows_the_fill() -> None:
    white = np.full((20, 20, 3), 255, dtype=np.uint8)
    view = sampled(white, (10.0, 10.0), (20.0, 20.0), 0.2, (40, 40), np.array([1, 2, 3], dtype=np.uint8))
    assert view[0, 0].tolist() == view[39, 39].tolist() == [1, 2, 3]
    assert view[20, 20].tolist() == [255, 255, 255]
