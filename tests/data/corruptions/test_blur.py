"""Blurs keep the light, and agree with a direct sum over the kernel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import convolve

from raytl.data.corruptions.blur import Kernel, convolved, defocus, disc, glass, line, motion, zoom
from raytl.data.corruptions.transfer import encoded, linear
from tests.data.corruptions.scene import scene


@pytest.mark.parametrize("kernel", [disc(2.3), disc(0.2), line(9, 0.7), line(40, 2.0)])
def test_the_convolution_is_scipys_in_linear_light(kernel: Kernel) -> None:
    pixels = scene(40, 30)
    direct = np.stack([convolve(linear(pixels[..., k]), kernel, mode="reflect") for k in range(3)], axis=-1)
    assert np.abs(convolved(pixels, kernel).astype(int) - encoded(direct)).max() <= 1


@pytest.mark.parametrize("radius", [0.4, 1.0, 3.7])
def test_a_disc_has_the_area_of_a_disc_and_four_axes_of_symmetry(radius: float) -> None:
    kernel = disc(radius)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    assert kernel.max() <= 1.05 / (math.pi * radius**2) or radius < 1
    assert (kernel == kernel.T).all() and (kernel == kernel[::-1]).all()


def test_a_horizontal_line_is_a_mean_along_the_row() -> None:
    kernel = line(5, 0.0)
    middle = kernel[len(kernel) // 2]
    assert (kernel.sum(axis=1) > 0).sum() == 1
    assert middle[middle > 0] == pytest.approx(
        [0.1, 0.2, 0.2, 0.2, 0.2, 0.1], abs=0.02
    ) or middle.max() == pytest.approx(0.2)


def test_a_flat_image_stays_flat() -> None:
    flat = np.full((20, 30, 3), 77, dtype=np.uint8)
    rng = np.random.default_rng(0)
    for out in (defocus(flat, 0.1, rng), motion(flat, 0.3, rng), zoom(flat, 0.2, rng), glass(flat, 0.1, rng)):
        assert (out == 77).all()


def test_a_highlight_spreads_by_its_light_and_not_by_its_level() -> None:
    pixels = np.zeros((33, 33, 3), dtype=np.uint8)
    pixels[16, 16] = 255
    out = defocus(pixels, 3 / 33, np.random.default_rng(0))
    assert linear(out)[..., 0].sum() == pytest.approx(1, abs=0.05)
    assert out[16, 16, 0] > 40  # the mean of the levels would be 9
