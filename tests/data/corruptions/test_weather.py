"""Clouds fill their range, and weather only adds light."""

from __future__ import annotations

import numpy as np

from raytl.data.corruptions.weather import fog, plasma, snow
from tests.data.corruptions.scene import scene


def test_clouds_reach_from_0_to_1_and_are_smooth() -> None:
    clouds = plasma(90, 120, np.random.default_rng(0))
    assert (clouds.min(), clouds.max()) == (0, 1)
    assert np.abs(np.diff(clouds, axis=1)).mean() < 0.1 * clouds.std()


def test_snow_only_brightens_and_fog_lowers_the_contrast() -> None:
    pixels = scene()
    snowy, foggy = snow(pixels, 0.2, np.random.default_rng(0)), fog(pixels, 0.7, np.random.default_rng(0))
    assert (snowy >= pixels).all() and (snowy > pixels).any()
    assert foggy.std() < 0.8 * pixels.std() and foggy.mean() > pixels.mean()
