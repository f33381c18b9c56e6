"""Noise has the mean and the variance of its model in linear light."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.data.corruptions.noise import impulse_noise, read_noise, shot_noise
from raytl.data.corruptions.transfer import LEVELS, linear
from raytl.data.images import Pixels


def flat(level: int) -> Pixels:
    return np.full((120, 120, 3), level, dtype=np.uint8)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_read_noise_has_the_same_deviation_at_every_level() -> None:
    for level in (120, 170, 200):
        light = linear(read_noise(flat(level), 0.04, rng()))
        assert light.std() == pytest.approx(0.04, rel=0.03)
        assert light.mean() == pytest.approx(LEVELS[level], abs=0.002)


@pytest.mark.parametrize("level", [40, 120, 188])
def test_the_variance_of_shot_noise_is_the_mean_over_the_photons(level: int) -> None:
    light = linear(shot_noise(flat(level), 200, rng()))
    assert light.mean() == pytest.approx(LEVELS[level], rel=0.02)
    assert light.var() == pytest.approx(LEVELS[level] / 200, rel=0.06)


def test_photon_counts_are_those_of_numpys_poisson() -> None:
    counts = np.rint(linear(shot_noise(flat(60), 30, rng())) * 30).ravel()
    drawn = np.random.default_rng(1).poisson(30 * LEVELS[60], counts.size)
    frequency = [np.bincount(each.astype(int), minlength=8)[:8] / counts.size for each in (counts, drawn)]
    assert np.abs(frequency[0] - frequency[1]).max() < 0.01


def test_black_has_no_shot_noise() -> None:
    assert (shot_noise(flat(0), 10, rng()) == 0).all()


def test_half_of_the_impulses_are_white() -> None:
    out = impulse_noise(flat(100), 0.2, rng())
    assert (out == 0).mean() == pytest.approx(0.1, abs=0.01)
    assert (out == 255).mean() == pytest.approx(0.1, abs=0.01)
    assert ((out == 0) | (out == 255) | (out == 100)).all()
