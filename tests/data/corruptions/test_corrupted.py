"""Images of a split are corrupted when they are read, each with the random numbers of its own sample."""

from __future__ import annotations

from raytl.data.corruptions.corrupted import CorruptedImages
from raytl.data.corruptions.suite import suite_named
from tests.data.corruptions.scene import scene


def test_each_image_is_corrupted_by_its_key_at_any_place() -> None:
    noise, images, keys = suite_named("camera")[0], [scene(), scene(20, 30)], ["a", "b"]
    forward, backward = CorruptedImages(images, keys, noise, 2), CorruptedImages(images[::-1], keys[::-1], noise, 2)
    assert len(forward) == 2
    assert (forward[0] == backward[1]).all() and (forward[1] == noise(images[1], 2, "b")).all()
