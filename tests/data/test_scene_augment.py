"""Scenes are jittered on a fixed canvas; boxes and masks move with the pixels to within one."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from raytl.config.schema import AugmentConfig
from raytl.data.augment import TrainAugment
from raytl.data.decode import decode
from raytl.data.draw import Draw, sample_rng
from raytl.data.encoder import Augment
from raytl.data.placement import Placement, shift, upright
from raytl.data.scene_augment import SceneAugment
from raytl.data.transforms import Preprocess, eval_pixels, eval_placement, prepare, prepared_placement
from tests.data.scenes import apart, box_of, coverage, scene

SQUARE = Preprocess(64, 72, "center", "bilinear", (0.4, 0.5, 0.6), (0.2, 0.2, 0.2))
WIDE, TALL, CANVAS = SQUARE.fit((96, 64)), SQUARE.fit((48, 80)), SQUARE.fit((72, 72))
MODES = [SQUARE, replace(SQUARE, crop_mode="squash"), replace(SQUARE, resize_px=60), WIDE, TALL, CANVAS]
SOME = [pytest.param(mode, marks=pytest.mark.thorough if i in (1, 2, 4) else []) for i, mode in enumerate(MODES)]
"""Of each kind of view one by default."""
PHOTOS = [(120, 90), (70, 110), (64, 64), (200, 40)]
"""Width and height."""
PARTS: dict[str, dict[str, Any]] = {
    "none": {"strength": 0.0, "hflip": False, "crop": False},
    "crop": {"hflip": False, "rotation": False},
    "hflip": {"strength": 0.0, "crop": False},
    "vflip": {"strength": 0.0, "crop": False, "hflip": False, "vflip": True},
    "rotate90": {"strength": 0.0, "hflip": False, "rotate90": True},
    "rotation": {"strength": 1.0, "hflip": False},
    "all": {"strength": 1.0, "vflip": True, "rotate90": True},
}


def views(preprocess: Preprocess, **config: Any) -> Augment:
    kind = SceneAugment if preprocess.crop_mode == "fit" else TrainAugment
    return kind(AugmentConfig(**{"color": False, **config}), preprocess)


def jpeg(pixels: NDArray[np.uint8], orientation: int) -> bytes:
    """A file with a stored picture and its EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(stream := io.BytesIO(), "PNG", exif=exif)
    return stream.getvalue()


def misplaced(augment: Augment, placement: Callable[[Draw, int, int], Placement], preprocess: Preprocess) -> list[str]:
    """The boxes that are not where their rectangles are, to a pixel, over photos, draws and orientations."""
    wrong = []
    for number, (width, height) in enumerate(PHOTOS * 3):
        rng = np.random.default_rng(number)
        stored, orientation = apart(height, width, rng), number % 8 + 1
        photo = decode(jpeg(scene(height, width, stored), orientation), 10**6)
        up = upright(orientation, (height, width))
        prepared = prepare(photo, preprocess)
        draw = augment.draw(*prepared.shape[:2], sample_rng(0, 0, number))
        view = augment.apply(prepared, draw)
        whole = up.then(prepared_placement(*photo.size, preprocess)).then(placement(draw, *prepared.shape[:2]))
        wrong += _wrong(view, whole, stored)
    return wrong


def _wrong(view: NDArray[np.uint8], whole: Placement, stored: NDArray[np.int64]) -> list[str]:
    wrong = []
    boxes, visible = whole.boxes(stored)
    for number, (box, fraction) in enumerate(zip(boxes, visible, strict=True)):
        if fraction < (0.5 if whole.is_aligned else 1.0) or min(box[2:] - box[:2]) < 4:
            continue  # too little is visible to measure
        found = box_of(view, number)
        if found is None or error(found, box, whole.is_aligned) > 1.0:
            wrong.append(f"{number}: {found} in the view, {box.round(2)} by the placement")
    return wrong


def error(found: NDArray[np.float64], box: NDArray[np.float64], is_aligned: bool) -> float:
    """The distance of two boxes in pixels; of their centers if tilted, as the tip of a corner covers little of its pixel."""
    difference = found - box
    return float(np.abs(difference if is_aligned else (difference[:2] + difference[2:]) / 2).max())


@pytest.mark.parametrize("preprocess", SOME, ids=["center", "squash", "padded", "wide", "tall", "canvas"])
@pytest.mark.parametrize("part", PARTS)
def test_a_box_is_where_its_rectangle_is_after_every_augmentation(preprocess: Preprocess, part: str) -> None:
    augment = views(preprocess, **PARTS[part])
    assert misplaced(augment, augment.placement, preprocess) == []


@pytest.mark.parametrize("part", [part for part in PARTS if part != "none"])
def test_boxes_that_stay_where_they_were_are_found_out(part: str) -> None:
    augment = views(CANVAS, **PARTS[part])
    assert misplaced(augment, lambda draw, height, width: shift(0, 0, (72, 72)), CANVAS)


@pytest.mark.parametrize("preprocess", MODES[3:], ids=["wide", "tall", "canvas"])
@pytest.mark.parametrize("part", PARTS)
def test_a_mask_covers_the_pixels_of_its_rectangle(preprocess: Preprocess, part: str) -> None:
    augment = views(preprocess, **PARTS[part])
    for number, (width, height) in enumerate(PHOTOS):
        boxes = apart(height, width, np.random.default_rng(number))
        prepared = prepare(Image.fromarray(scene(height, width, boxes)), preprocess)
        draw = augment.draw(*prepared.shape[:2], sample_rng(0, 1, number))
        view = augment.apply(prepared, draw)
        whole = prepared_placement(width, height, preprocess).then(augment.placement(draw, *prepared.shape[:2]))
        for color, (x0, y0, x1, y1) in enumerate(boxes):
            mask = np.zeros((height, width), dtype=np.uint8)
            mask[y0:y1, x0:x1] = 1
            share, moved = coverage(view, color), whole.mask(mask, 0)
            assert not moved[share < 0.05].any() or (prepared.shape[0] < 20)
            assert moved[share > 0.95].all()


@pytest.mark.parametrize("preprocess", MODES, ids=["center", "squash", "padded", "wide", "tall", "canvas"])
@pytest.mark.parametrize("size", [*PHOTOS, (40, 900), (333, 500)])
def test_what_is_seen_in_the_evaluation_view_maps_back_onto_the_photo(
    preprocess: Preprocess, size: tuple[int, int]
) -> None:
    width, height = size
    boxes = apart(height, width, np.random.default_rng(0))
    view = eval_pixels(prepare(Image.fromarray(scene(height, width, boxes)), preprocess), preprocess)
    placement = eval_placement(width, height, preprocess)
    assert placement.size == view.shape[:2] == preprocess.view_size
    back = placement.inverse((height, width))
    pixel = np.array(1 / np.abs(np.array(placement.matrix)[[0, 1, 0, 1], [0, 1, 0, 1]])).clip(1)
    for number, (seen, fraction) in enumerate(zip(*placement.boxes(boxes), strict=True)):
        found = box_of(view, number)
        if found is not None and fraction == 1.0 and min(seen[2:] - seen[:2]) >= 4:
            assert (np.abs(back.envelopes(found[None])[0] - boxes[number]) <= pixel).all()
            np.testing.assert_allclose(back.envelopes(seen[None])[0], boxes[number], atol=1e-6)


def draws(n: int = 300, size: tuple[int, int] = (64, 90), **config: Any) -> list[Draw]:
    augment = SceneAugment(AugmentConfig(**config), WIDE)
    return [augment.draw(*size, sample_rng(0, 0, i)) for i in range(n)]


@pytest.mark.parametrize(("strength", "least", "most"), [(0.0, 1.0, 1.0), (0.5, 0.8, 1.3), (1.0, 0.6, 1.6)])
def test_the_scale_spreads_with_the_strength(strength: float, least: float, most: float) -> None:
    scales = [64 / draw.box.height for draw in draws(strength=strength) if draw.box]
    assert len(scales) == 300
    assert min(scales) == pytest.approx(least, abs=0.01)
    assert max(scales) == pytest.approx(most, abs=0.01)


def test_a_larger_image_is_cropped_and_a_smaller_one_lies_whole_anywhere_on_the_canvas() -> None:
    for draw in draws():
        assert draw.box is not None
        for start, length, image in ((draw.box.top, draw.box.height, 64), (draw.box.left, draw.box.width, 90)):
            low, high = sorted((0.0, image - length))
            assert low <= start <= high


def test_without_crop_the_view_is_the_evaluation_view() -> None:
    prepared = np.random.default_rng(0).integers(0, 256, (64, 90, 3), dtype=np.uint8)
    plain = SceneAugment(AugmentConfig(strength=0.0, crop=False, hflip=False), WIDE)
    view = plain.apply(prepared, plain.draw(64, 90, sample_rng(0, 0, 0)))
    np.testing.assert_array_equal(view, eval_pixels(prepared, WIDE))
    assert (view[:, 90:] == [102, 128, 153]).all()


def test_uncovered_pixels_have_the_mean_color_also_in_rotated_views() -> None:
    white = np.full((64, 90, 3), 255, dtype=np.uint8)
    augment = SceneAugment(AugmentConfig(strength=1.0, color=False), WIDE)
    for i in range(30):
        draw = augment.draw(64, 90, sample_rng(0, 0, i))
        empty = augment.placement(draw, 64, 90).mask(np.ones((64, 90), np.uint8), 0) == 0
        inner = empty[1:-1, 1:-1] & empty[:-2, 1:-1] & empty[2:, 1:-1] & empty[1:-1, :-2] & empty[1:-1, 2:]
        assert (augment.apply(white, draw)[1:-1, 1:-1][inner] == [102, 128, 153]).all()


def test_a_read_only_image_gives_a_writable_view_of_the_size_of_the_frame() -> None:
    prepared = np.zeros((64, 90, 3), dtype=np.uint8)
    prepared.flags.writeable = False
    augment = SceneAugment(AugmentConfig(strength=1.0, vflip=True, rotate90=True, blur=True, erasing=1.0), WIDE)
    for i in range(20):
        view = augment.apply(prepared, augment.draw(64, 90, sample_rng(0, 0, i)))
        view[:] = 1
        assert view.shape == (*augment.size, 3)
