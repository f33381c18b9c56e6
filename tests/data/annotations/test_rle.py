"""Run lengths agree with pycocotools, and only those that cover their image exactly are taken."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as oracle

from raytl.data.annotations import rle


def _random(seed: int, height: int = 13, width: int = 17) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width)) < 0.4


@pytest.mark.parametrize("seed", range(5))
def test_bitmaps_boxes_and_areas_are_those_of_pycocotools(seed: int) -> None:
    bitmap = _random(seed)
    counts = rle.from_bitmap(bitmap)
    encoded = oracle.encode(np.asfortranarray(bitmap.astype(np.uint8)))
    assert counts == encoded["counts"].decode()
    assert np.array_equal(rle.bitmap(counts, 17, 13), bitmap)
    assert rle.area(counts) == bitmap.sum()
    x, y, w, h = oracle.toBbox(encoded)
    assert rle.box(counts, 17, 13) == (x, y, x + w, y + h)


def test_polygons_are_filled_as_by_pycocotools() -> None:
    polygons = [[1.5, 1.0, 9.25, 2.0, 6.0, 10.5], [3.0, 3.0, 16.0, 3.0, 16.0, 12.0]]
    expected = oracle.merge(oracle.frPyObjects(polygons, 13, 17))
    assert rle.from_polygons(polygons, 17, 13) == expected["counts"].decode()


def test_run_lengths_are_stored_in_one_form() -> None:
    assert rle.from_runs([0, 0, 3, 2, 0, 4, 6], 3, 5) == rle.from_runs([3, 6, 6], 3, 5)
    assert rle.runs_of(rle.from_runs([0, 5, 10], 3, 5)) == [0, 5, 10]
    assert rle.from_text(rle.from_runs([3, 6, 6], 3, 5), 3, 5) == rle.from_runs([3, 6, 6], 3, 5)


@pytest.mark.parametrize("seed", range(3))
def test_the_runs_of_long_masks_are_read_from_text(seed: int) -> None:
    bitmap = _random(seed, 300, 401)
    runs = rle.runs_of(rle.from_bitmap(bitmap))
    assert sum(runs) == bitmap.size
    assert sum(runs[1::2]) == bitmap.sum()


@pytest.mark.parametrize(
    ("runs", "fault"), [([1, 2], "cover 3 pixels, the image has 15"), ([20, -5], "negative"), ([], "cover 0")]
)
def test_runs_that_do_not_cover_the_image_are_an_error(runs: list[int], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        rle.from_runs(runs, 3, 5)


@pytest.mark.parametrize(
    ("text", "fault"),
    [(" ", "not compressed"), ("o", "incomplete"), ("o" * 20, "not compressed"), ("ü", "not compressed")],
)
def test_text_that_is_no_run_lengths_is_an_error(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        rle.from_text(text, 3, 5)


@pytest.mark.parametrize("seed", range(6))
def test_a_crop_is_that_of_the_bitmap(seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = rng.random((23, 17)) < rng.random()
    counts = rle.from_bitmap(whole)
    x0, y0, x1, y1 = map(int, rle.box(counts, 17, 23))
    np.testing.assert_array_equal(rle.crop(counts, 23, (x0, y0, x1, y1)), whole[y0:y1, x0:x1])
    np.testing.assert_array_equal(rle.crop(counts, 23, (2, 3, 9, 20)), whole[3:20, 2:9])
    assert rle.area(counts) == whole.sum()


def test_the_crop_of_an_object_without_pixels_is_empty() -> None:
    counts = rle.from_bitmap(np.zeros((4, 5), dtype=bool))
    assert rle.crop(counts, 4, (0, 0, 0, 0)).shape == (0, 0)
    assert rle.area(counts) == 0
