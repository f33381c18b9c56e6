"""Class maps are read from mask files or painted from objects, and move with the pixels of their image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from raytl.config.schema import AugmentConfig
from raytl.data.class_maps import VOID, ClassMaps
from raytl.data.draw import Box as Window
from raytl.data.draw import Draw
from raytl.data.encoder import Prefetching, augmented
from raytl.data.loader import TrainLoader
from raytl.data.manifest import Sample
from raytl.data.scene_augment import SceneAugment
from raytl.data.targets import Boxes, Instances, Mask, MaskClass, Target
from raytl.data.transforms import Preprocess, prepare
from raytl.errors import DataError
from raytl.world import World
from tests.data.scenes import apart, coverage, scene
from tests.data.test_object_targets import instance

FRAME = Preprocess(64, 64, "center", "bilinear", (0.4, 0.5, 0.6), (0.2, 0.2, 0.2)).fit((96, 64))
CLASSES = ("background", "cat", "dog")
NAMES = (MaskClass(0, "background"), MaskClass(7, "dog"), MaskClass(9, "cat"), MaskClass(250, ""))
WHOLE = Draw(Window(0, 0, 64, 96), 0.0, False, False, 0, None, 0.0, None)
PLAIN = SceneAugment(AugmentConfig(), FRAME)


def maps(*targets: Target, classes: tuple[str, ...] = CLASSES, preprocess: Preprocess = FRAME) -> ClassMaps:
    samples = [Sample(f"{number}.png", f"{number}.png", target) for number, target in enumerate(targets)]
    return ClassMaps(samples, classes, preprocess, max_pixels=10**6)


def mask(folder: Path, values: NDArray[np.generic], names: tuple[MaskClass, ...] = NAMES) -> Mask:
    path = folder / f"{len(list(folder.iterdir()))}.png"
    Image.fromarray(values).save(path)
    return Mask(path.name, str(path), names)


def painted(height: int, width: int, boxes: NDArray[np.int64], value: int = 7) -> NDArray[np.uint8]:
    values = np.zeros((height, width), dtype=np.uint8)
    for x0, y0, x1, y1 in boxes:
        values[y0:y1, x0:x1] = value
    return values


def test_a_mask_becomes_the_classes_of_its_values(tmp_path: Path) -> None:
    values = np.array([[0, 7, 9], [250, 8, 0]], dtype=np.uint8)
    found = maps(mask(tmp_path, values))
    np.testing.assert_array_equal(found.truth(0), [[0, 2, 1], [VOID, VOID, 0]])
    assert (found.truth(0).dtype, found.size(0), len(found)) == (np.uint8, (3, 2), 1)


def test_colors_and_wide_values_are_looked_up_too(tmp_path: Path) -> None:
    colors = np.array([[[1, 2, 3], [255, 0, 9]], [[0, 0, 0], [1, 2, 4]]], dtype=np.uint8)
    names = (MaskClass(0x010203, "cat"), MaskClass(0xFF0009, "dog"), MaskClass(0, ""))
    np.testing.assert_array_equal(maps(mask(tmp_path, colors, names)).truth(0), [[1, 2], [VOID, VOID]])


def test_what_the_view_does_not_show_of_the_image_is_void(tmp_path: Path) -> None:
    found = maps(mask(tmp_path, np.full((128, 192), 7, np.uint8)))
    view = found.view(0, PLAIN, replace(WHOLE, box=Window(0, -10, 64, 96)), (64, 96))
    assert view.shape == (64, 96)
    assert (view[:, :10] == VOID).all()
    assert (view[:, 10:] == 2).all()


@pytest.mark.parametrize("size", [(128, 192), (64, 96), (31, 47), (300, 450)])
def test_a_mask_of_another_size_covers_the_whole_photo(tmp_path: Path, size: tuple[int, int]) -> None:
    values = np.full(size, 7, np.uint8)
    values[: size[0] // 2] = 9
    view = maps(mask(tmp_path, values)).view(0, PLAIN, WHOLE, (64, 96))
    assert (view[:31] == 1).all()
    assert (view[33:] == 2).all()


def test_a_mask_drawn_before_the_photo_was_turned_is_turned_with_it(tmp_path: Path) -> None:
    values = np.zeros((4, 6), dtype=np.uint8)
    values[0] = 7  # the top of the stored photo, the right of the upright one
    found = maps(replace(mask(tmp_path, values), orientation=6))
    assert found.size(0) == (4, 6)
    np.testing.assert_array_equal(found.truth(0) == 2, np.arange(4)[None] == np.full((6, 1), 3))


@pytest.mark.parametrize("kind", ["mask", "objects"])
def test_the_map_covers_the_rectangles_in_augmented_views(tmp_path: Path, kind: str) -> None:
    augment = SceneAugment(AugmentConfig(strength=1.0, color=False, vflip=True, rotate90=True), FRAME)
    for number in range(8):
        boxes = apart(90, 120, np.random.default_rng(number))
        objects = Instances(120, 90, tuple(instance(90, 120, box) for box in boxes))
        found = maps(mask(tmp_path, painted(90, 120, boxes)) if kind == "mask" else objects)
        prepared = prepare(Image.fromarray(scene(90, 120, boxes)), FRAME)
        view, target = augmented([prepared], found, augment, 0, number, 0)
        inside = sum(coverage(view, color) > 0.5 for color in range(4))
        assert np.mean((target == 2) != inside) < 0.02
        assert set(np.unique(target).tolist()) <= {0, 2, VOID}


def test_objects_are_painted_small_over_large_and_crowds_are_void() -> None:
    large, small = instance(8, 12, (0, 0, 10, 8), "cat"), instance(8, 12, (2, 2, 4, 4), "dog")
    crowd = instance(8, 12, (6, 6, 8, 8), "dog", crowd=True)
    truth = maps(Instances(12, 8, (small, crowd, large))).truth(0)
    assert [truth[row, column] for row, column in ((0, 0), (3, 3), (7, 7), (0, 11))] == [1, 2, VOID, 0]
    assert maps(Instances(12, 8, (small,)), classes=("dog",)).truth(0)[0, 0] == VOID


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_gives_maps_at_the_size_of_the_views(tmp_path: Path, workers: int) -> None:
    found = maps(*(mask(tmp_path, np.full((32, 48), value, np.uint8)) for value in (0, 7, 9)))
    images = [np.zeros((64, 96, 3), dtype=np.uint8)] * 3
    loader = TrainLoader(images, found, PLAIN, batch=3, seed=0, world=World.solo(), workers=workers)
    ((batch, _),) = loader.epoch(0)
    loader.close()
    assert batch.targets.shape == (3, 64, 96)
    assert [set(np.unique(each).tolist()) - {VOID} for each in batch.targets] == [{[0, 2, 1][i]} for i in batch.ids]


def test_masks_in_a_bucket_are_prefetched_by_the_loader() -> None:
    assert isinstance(maps(Instances(12, 8, ())), Prefetching)


def test_an_unreadable_mask_is_named(tmp_path: Path) -> None:
    found = maps(Mask("gone.png", str(tmp_path / "gone.png"), NAMES))
    with pytest.raises(DataError, match=r"gone.png: cannot be read .*audit the data again"):
        found.truth(0)


def test_other_annotations_and_too_many_classes_are_errors() -> None:
    with pytest.raises(DataError, match=r"1 of 1 images are not annotated with masks:\n  0.png: Boxes\n"):
        maps(Boxes(3, 4, ()))
    with pytest.raises(DataError, match=r"found 256 classes of pixels; expected at most 255"):
        maps(classes=tuple(map(str, range(256))))
