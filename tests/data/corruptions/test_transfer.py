"""8-bit levels survive the way to linear light and back, and middle gray is where the standard has it."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.data.corruptions.transfer import LEVELS, encoded, linear, looked_up

EVERY = np.arange(256, dtype=np.uint8)


def test_every_level_survives_the_way_to_linear_light_and_back() -> None:
    assert (encoded(linear(EVERY)) == EVERY).all()


@pytest.mark.parametrize(("level", "light"), [(0, 0.0), (10, 0.003035), (118, 0.181164), (188, 0.502886), (255, 1.0)])
def test_levels_have_the_light_of_the_standard(level: int, light: float) -> None:
    assert LEVELS[level] == pytest.approx(light, abs=1e-6)


def test_light_beyond_full_scale_is_clipped() -> None:
    assert encoded(np.array([-0.5, 0.0, 1.0, 7.0], dtype=np.float32)).tolist() == [0, 0, 255, 255]


def test_each_channel_has_its_own_table() -> None:
    tables = np.stack([EVERY, 255 - EVERY, np.zeros_like(EVERY)], axis=-1)
    pixels = np.array([[[10, 10, 10], [200, 0, 5]]], dtype=np.uint8)
    assert looked_up(pixels, tables).tolist() == [[[10, 245, 0], [200, 255, 0]]]
