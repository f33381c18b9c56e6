"""Every corruption of every suite keeps shape and type, grows with severity, and depends only on pixels, sample and severity."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.data.corruptions.corruption import SEVERITIES, Corruption
from raytl.data.corruptions.suite import SUITES
from tests.data.corruptions.scene import difference, gray_scene, scene

ALL = [pytest.param(each, id=f"{suite}: {each.name}") for suite, members in SUITES.items() for each in members]
COLORED = {"color cast", "read noise", "shot noise", "impulse noise", "JPEG"}
"""What may color a gray image: noise draws for each channel."""
KEYS = ("glass/1.jpg", "glass/2.jpg", "paper/ü \udcff.jpg")


@pytest.mark.parametrize("corruption", ALL)
def test_the_shape_and_type_stay_and_the_image_is_not_changed(corruption: Corruption) -> None:
    pixels = scene()
    before = pixels.copy()
    pixels.setflags(write=False)
    for severity in SEVERITIES:
        out = corruption(pixels, severity, "a")
        assert out.shape == pixels.shape and out.dtype == np.uint8 and not np.shares_memory(out, pixels)
    assert (pixels == before).all()


@pytest.mark.parametrize("corruption", ALL)
def test_a_higher_severity_changes_more(corruption: Corruption) -> None:
    pixels = scene()
    changes = [
        np.mean([difference(corruption(pixels, severity, key), pixels) for key in KEYS]) for severity in SEVERITIES
    ]
    assert changes[0] > 0.2 and changes[0] < changes[1] < changes[2]


@pytest.mark.parametrize("corruption", ALL)
def test_the_bits_do_not_depend_on_the_order(corruption: Corruption) -> None:
    pixels = scene()
    forward = {(key, severity): corruption(pixels, severity, key) for key in KEYS for severity in SEVERITIES}
    backward = {(key, severity): corruption(pixels, severity, key) for key, severity in reversed(forward)}
    assert all((forward[place] == backward[place]).all() for place in forward)


@pytest.mark.parametrize("corruption", ALL)
def test_gray_stays_gray(corruption: Corruption) -> None:
    out = corruption(gray_scene(), 2, "a").astype(int)
    colored = float(np.abs(out - out.mean(axis=-1, keepdims=True)).max())
    assert (colored > 3) == (corruption.name in COLORED - {"JPEG"})


@pytest.mark.parametrize("corruption", ALL)
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 70)])
def test_small_and_narrow_images_are_corrupted_too(corruption: Corruption, size: tuple[int, int]) -> None:
    pixels = np.full((*size, 3), 90, dtype=np.uint8)
    assert all(corruption(pixels, severity, "a").shape == pixels.shape for severity in SEVERITIES)


def test_names_are_distinct_over_all_suites() -> None:
    names = [each.name for members in SUITES.values() for each in members]
    assert len(set(names)) == len(names)


def test_random_parts_differ_between_samples() -> None:
    pixels = scene()
    random = ("read noise", "shot noise", "motion blur", "dirt")
    for corruption in (each for each in SUITES["camera"] if each.name in random):
        assert (corruption(pixels, 3, "a") != corruption(pixels, 3, "b")).any(), corruption.name
