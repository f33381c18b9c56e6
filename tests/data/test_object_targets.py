"""Objects are encoded where their pixels are in a view; those that are hardly visible are left out."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raytl.config.schema import AugmentConfig
from raytl.data.annotations import rle
from raytl.data.draw import Box as Window
from raytl.data.draw import Draw, sample_rng
from raytl.data.encoder import augmented
from raytl.data.loader import TrainLoader
from raytl.data.manifest import Sample
from raytl.data.object_targets import ObjectArrays, ObjectTargets
from raytl.data.scene_augment import SceneAugment
from raytl.data.targets import Box, Boxes, Instance, Instances, Target
from raytl.data.transforms import Preprocess, prepare
from raytl.errors import DataError
from raytl.world import World
from tests.data.scenes import apart, box_of, coverage, scene

FRAME = Preprocess(64, 64, "center", "bilinear", (0.4, 0.5, 0.6), (0.2, 0.2, 0.2)).fit((96, 64))
CLASSES = ("cat", "dog")
WHOLE = Draw(Window(0, 0, 64, 96), 0.0, False, False, 0, None, 0.0, None)
PLAIN = SceneAugment(AugmentConfig(), FRAME)


def instance(height: int, width: int, box: Sequence[int], label: str = "dog", crowd: bool = False) -> Instance:
    bitmap = np.zeros((height, width), dtype=bool)
    x0, y0, x1, y1 = box
    bitmap[y0:y1, x0:x1] = True
    return Instance(label, rle.from_bitmap(bitmap), crowd)


def encoder(*targets: Target, **more: Any) -> ObjectTargets:
    samples = [Sample(f"{number}.png", f"{number}.png", target) for number, target in enumerate(targets)]
    return ObjectTargets(samples, CLASSES, FRAME, list, **more)


def shown(objects: ObjectTargets, draw: Draw = WHOLE) -> ObjectArrays:
    arrays = objects.view(0, PLAIN, draw, (64, 96))
    assert isinstance(arrays, ObjectArrays)
    return arrays


PAIR = Boxes(192, 128, (Box("dog", 20, 30, 60, 90), Box("cat", 100, 0, 192, 128, crowd=True)))


def test_boxes_are_arrays_in_pixels_of_the_view() -> None:
    arrays = shown(encoder(PAIR))
    np.testing.assert_allclose(arrays.boxes, [[10, 15, 30, 45], [50, 0, 96, 64]])
    assert (arrays.labels.tolist(), arrays.crowd.tolist(), arrays.masks) == ([1, 0], [False, True], None)
    assert [a.dtype.name for a in (arrays.boxes, arrays.labels, arrays.crowd)] == ["float32", "int64", "bool"]


def test_the_truth_is_what_was_annotated() -> None:
    objects = encoder(PAIR, Boxes(7, 9, ()))
    assert (objects.truth(0), objects.size(1), len(objects)) == (PAIR, (7, 9), 2)


def test_an_image_without_objects_has_empty_arrays() -> None:
    for with_masks in (False, True):
        arrays = shown(encoder(Instances(192, 128, ()), with_masks=with_masks))
        assert (arrays.boxes.shape, arrays.labels.shape, arrays.crowd.shape) == ((0, 4), (0,), (0,))
    assert arrays.masks is not None
    assert arrays.masks.shape == (0, 64, 96)


@pytest.mark.parametrize(
    ("left", "labels"), [(0.0, [1, 0]), (22.0, [1, 0]), (26.0, [0]), (29.5, [0]), (94.0, [0]), (97.0, [])]
)
def test_an_object_of_which_a_quarter_is_not_visible_is_left_out(left: float, labels: list[int]) -> None:
    assert shown(encoder(PAIR), replace(WHOLE, box=Window(0, left, 64, 96))).labels.tolist() == labels


def test_an_object_that_is_thinner_than_a_pixel_is_left_out() -> None:
    thin = Boxes(192, 128, (Box("dog", 20, 30, 21.5, 90), Box("cat", 20, 30, 60, 30)))
    assert len(shown(encoder(thin)).boxes) == 0


@pytest.mark.parametrize("with_masks", [False, True])
def test_masks_of_objects_have_boxes_too(with_masks: bool) -> None:
    objects = encoder(Instances(192, 128, (instance(128, 192, (20, 30, 60, 90)),)), with_masks=with_masks)
    arrays = shown(objects)
    np.testing.assert_allclose(arrays.boxes, [[10, 15, 30, 45]])
    if with_masks:
        assert arrays.masks is not None
        assert arrays.masks.dtype == np.uint8
        expected = np.zeros((1, 64, 96))
        expected[0, 15:45, 10:30] = 1
        np.testing.assert_array_equal(arrays.masks, expected)


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_objects_are_where_their_rectangles_are_in_augmented_views(kind: str) -> None:
    augment = SceneAugment(AugmentConfig(strength=1.0, color=False, vflip=True, rotate90=True), FRAME)
    seen = 0
    for number in range(12):
        corners = apart(90, 120, np.random.default_rng(number))
        boxes = Boxes(120, 90, tuple(Box("dog", *map(float, box)) for box in corners))
        masks = Instances(120, 90, tuple(instance(90, 120, box) for box in corners))
        objects = encoder(boxes, min_visible=0.9) if kind == "boxes" else encoder(masks, with_masks=True, min_visible=0)
        prepared = prepare(Image.fromarray(scene(90, 120, corners)), FRAME)
        view, arrays = augmented([prepared], objects, augment, 0, number, 0)
        measured = [found for color in range(4) if (found := box_of(view, color)) is not None]
        draw = augment.draw(*prepared.shape[:2], sample_rng(0, number, 0))
        if kind == "masks":
            inside = sum(coverage(view, color) > 0.5 for color in range(4))
            assert np.abs(arrays.masks.sum(axis=0).astype(int) - inside).mean() < 0.02
        if kind == "masks" or not draw.angle:
            for box in arrays.boxes:
                assert min(np.abs(box - found).max() for found in measured) <= 1.5
                seen += 1
    assert seen > 10


def test_a_pickled_target_packs_its_masks_and_comes_back_equal() -> None:
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 2, (5, 33, 65), dtype=np.uint8)
    arrays = ObjectArrays(np.zeros((5, 4), np.float32), np.arange(5), np.zeros(5, np.bool_), masks)
    pickled = pickle.dumps(arrays)
    assert len(pickled) < masks.size / 4
    back = pickle.loads(pickled)
    np.testing.assert_array_equal(back.masks, masks)
    assert back.labels.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_gives_views_and_objects_of_the_same_draw(workers: int) -> None:
    corners = [apart(64, 96, np.random.default_rng(number)) for number in range(5)]
    targets = [Instances(96, 64, tuple(instance(64, 96, box) for box in boxes)) for boxes in corners]
    images = [scene(64, 96, boxes) for boxes in corners]
    augment = SceneAugment(AugmentConfig(color=False, rotation=False), FRAME)
    objects = encoder(*targets, with_masks=True)
    loader = TrainLoader(images, objects, augment, batch=2, seed=0, world=World.solo(), workers=workers)
    count = 0
    for batch, _ in loader.epoch(0):
        assert batch.images.shape[1:] == (3, 64, 96)
        for image, arrays in zip(batch.images, batch.targets, strict=True):
            inside = sum(coverage(image.permute(1, 2, 0).numpy(), color) > 0.5 for color in range(4))
            assert np.abs(arrays.masks.sum(axis=0).astype(int) - inside).mean() < 0.03
            count += len(arrays.boxes)
    loader.close()
    assert count > 10


def test_a_crowd_of_a_class_that_is_not_learned_is_left_out() -> None:
    herd = Boxes(192, 128, (Box("cow", 0, 0, 50, 50, crowd=True), *PAIR.boxes))
    assert shown(encoder(herd)).labels.tolist() == [1, 0]
    assert encoder(herd).truth(0) == PAIR
    masks = Instances(192, 128, (instance(128, 192, (0, 0, 9, 9), "cow", crowd=True), instance(128, 192, (5, 5, 9, 9))))
    assert encoder(masks, with_masks=True).truth(0) == replace(masks, instances=masks.instances[1:])
    with pytest.raises(KeyError, match="cow"):
        encoder(Boxes(192, 128, (Box("cow", 0, 0, 50, 50),)))


def test_other_annotations_are_an_error_that_lists_them() -> None:
    with pytest.raises(DataError, match=r"1 of 2 images are not annotated with boxes or masks.*\n  0.png: str"):
        encoder("dog", PAIR)
    with pytest.raises(DataError, match=r"not annotated with masks of objects:\n  0.png: Boxes\n"):
        encoder(PAIR, with_masks=True)
