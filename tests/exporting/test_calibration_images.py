"""The images that int8 takes its ranges from."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from raytl.bundle.client import Pixels
from raytl.data.bad_image import BadImage
from raytl.data.manifest import Sample, dataset_digest
from raytl.errors import DataError
from raytl.exporting.calibration_images import calibration_images, drawn

VIEW = {"image_px": 8, "resize_px": 8, "crop_mode": "squash", "interpolation": "bilinear", "frame": None}
SAMPLES = tuple(Sample(f"{i}.jpg", f"{i}.jpg", "rare" if i < 20 else "frequent", "train") for i in range(200))
BALANCED = np.array([9.0 if sample.label == "rare" else 1.0 for sample in SAMPLES])


def decode(path: str) -> Pixels:
    number = int(path.removesuffix(".jpg"))
    if number == 7:
        raise BadImage("truncated")
    return np.full((10, 12, 3), number, np.uint8)


def test_the_sample_is_always_the_same_and_has_no_image_twice() -> None:
    once = drawn(SAMPLES, BALANCED, 50)
    assert once == drawn(SAMPLES, BALANCED, 50)
    assert len(set(once)) == 50
    assert drawn(SAMPLES, BALANCED, 20) == once[:20]


def test_rare_classes_are_drawn_as_often_as_frequent_ones() -> None:
    counts = Counter(sample.label for sample in drawn(SAMPLES, BALANCED, 20))
    assert 5 <= counts["rare"] <= 15, "of 20 images, not the two that a uniform draw would have"


def test_few_images_are_all_used() -> None:
    assert set(drawn(SAMPLES[:5], np.ones(5), 300)) == set(SAMPLES[:5])


def test_views_are_inputs_of_the_graph_without_photos_that_cannot_be_read() -> None:
    images = calibration_images(SAMPLES[:10], decode, VIEW)
    assert len(images.inputs) == len(images.samples) == 9
    assert all(pixels.shape == (1, 8, 8, 3) for pixels in images.inputs)
    assert images.digest == dataset_digest(images.samples)
    assert [int(pixels[0, 0, 0, 0]) for pixels in images.inputs] == [
        int(s.key.removesuffix(".jpg")) for s in images.samples
    ]


def test_photos_are_decoded_when_they_are_read() -> None:
    calls: list[str] = []

    def counted(path: str) -> Pixels:
        calls.append(path)
        return decode(path)

    images = calibration_images(SAMPLES[:5], counted, VIEW, is_photo=True)
    assert calls == [] and len(images.inputs) == 5
    assert images.inputs[0].shape == (1, 10, 12, 3) and len(calls) == 1
    assert len(images.inputs[:2]) == 2


def test_a_run_whose_images_cannot_be_read_is_an_error() -> None:
    with pytest.raises(DataError, match="none of 1 training images can be read; restore"):
        calibration_images(SAMPLES[7:8], decode, VIEW)
