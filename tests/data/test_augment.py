"""Augmentation grows with its strength, keeps within its promises, and is a function of its random numbers alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from raytl.config.schema import AugmentConfig
from raytl.data.augment import TrainAugment
from raytl.data.draw import Box, Draw, sample_rng
from raytl.data.transforms import Preprocess, center_crop
from tests.data.scenes import smooth

PREPROCESS = Preprocess(32, 40, "center", "bilinear", (0.4, 0.5, 0.6), (0.2, 0.2, 0.2))
CALM = Draw(Box(0, 0, 40, 40), 0.0, False, False, 0, None, 0.0, None)


def augment(**config: Any) -> TrainAugment:
    return TrainAugment(AugmentConfig(**config), PREPROCESS)


def draws(n: int = 400, size: tuple[int, int] = (40, 60), **config: Any) -> list[Draw]:
    return [augment(**config).draw(*size, sample_rng(0, 0, i)) for i in range(n)]


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("size", [(40, 60), (60, 40), (40, 40), (32, 300), (8, 9)])
def test_every_strength_and_shape_gives_a_uint8_view_in_channels_last_memory(
    strength: float, size: tuple[int, int]
) -> None:
    every = augment(strength=strength, vflip=True, rotate90=True, blur=True, erasing=0.5)
    prepared = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    prepared.flags.writeable = False
    for i in range(20):
        view = every(prepared, sample_rng(0, 0, i))
        assert view.shape == (3, 32, 32)
        assert view.dtype == torch.uint8
        assert view[None].is_contiguous(memory_format=torch.channels_last)


def test_a_view_is_a_function_of_seed_epoch_and_sample() -> None:
    views = {key: augment()(smooth(), sample_rng(*key)) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}
    assert torch.equal(views[0, 0, 0], augment()(smooth(), sample_rng(0, 0, 0)))
    assert all(not torch.equal(views[0, 0, 0], view) for key, view in views.items() if key != (0, 0, 0))


def test_seeds_epochs_and_samples_never_share_random_numbers() -> None:
    keys = [(s, e, i) for s in (0, 1, 2**31 - 1) for e in (0, 1, 7) for i in (0, 1, 2**33)]
    assert len({sample_rng(*key).random() for key in keys}) == len(keys)


def test_strength_0_only_crops_and_flips() -> None:
    for draw in draws(strength=0.0):
        assert draw == replace(CALM, box=draw.box, hflip=draw.hflip)
        assert draw.box is not None
        assert draw.box.height == draw.box.width
        assert (draw.box.height / 40) ** 2 > 0.74  # of the largest square, to a pixel's rounding


def test_the_crop_of_strength_1_keeps_three_tenths_of_the_largest_and_stays_inside() -> None:
    boxes = [draw.box for draw in draws(strength=1.0)]
    areas = []
    for box in boxes:
        assert box is not None
        assert box.top >= 0
        assert box.left >= 0
        assert box.top + box.height <= 40
        assert box.left + box.width <= 60
        aspect = box.width / box.height
        assert 0.70 <= aspect <= 1.42  # 3/4 .. 4/3, to a pixel's rounding
        areas.append(box.height * box.width / (min(40, 60 / aspect) ** 2 * aspect))
    assert 0.27 < min(areas) < 0.35
    assert max(areas) > 0.95


@pytest.mark.parametrize("amount", ["angle", "hue", "saturation", "contrast", "brightness", "area"])
def test_amounts_grow_with_strength_and_never_turn_back(amount: str) -> None:
    def of(draw: Draw) -> float:
        if amount == "angle":
            return abs(draw.angle)
        if amount == "area":
            assert draw.box is not None
            return 1 - draw.box.height * draw.box.width / 2400
        value: float = getattr(draw.color, amount) if draw.color else (0.0 if amount == "hue" else 1.0)
        return abs(value) if amount == "hue" else abs(math.log(max(value, 1e-9)))

    by_strength = np.array([[of(draw) for draw in draws(100, strength=s)] for s in (0.0, 0.25, 0.5, 0.75, 1.0)])
    assert (np.diff(by_strength.mean(axis=1)) > 0).all()
    if amount != "area":  # a larger aspect ratio may undo a smaller crop
        assert (np.diff(by_strength, axis=0) >= -1e-9).all()


@pytest.mark.parametrize(
    ("switched", "part"),
    [
        ({"hflip": False}, "hflip"),
        ({"vflip": False}, "vflip"),
        ({"rotate90": False}, "quarter_turns"),
        ({"rotation": False}, "angle"),
        ({"color": False}, "color"),
        ({"blur": False}, "blur"),
        ({"erasing": 0.0}, "erase"),
        ({"crop": False}, "box"),
    ],
)
def test_a_key_switches_its_part_off_and_changes_no_other(switched: dict[str, Any], part: str) -> None:
    everything = {"strength": 1.0, "vflip": True, "rotate90": True, "blur": True, "erasing": 0.5}
    on, off = draws(**everything), draws(**{**everything, **switched})
    assert any(getattr(draw, part) for draw in on)
    assert not any(getattr(draw, part) for draw in off)
    assert off == [replace(draw, **{part: getattr(none, part)}) for draw, none in zip(on, off, strict=True)]


def test_without_crop_the_view_is_the_evaluation_crop() -> None:
    plain = augment(strength=0.0, crop=False, hflip=False)
    np.testing.assert_array_equal(plain.view(smooth(), sample_rng(0, 0, 0)), center_crop(smooth(), 32))


def test_flips_and_quarter_turns_are_exact() -> None:
    plain = augment().apply(smooth(), CALM)
    np.testing.assert_array_equal(augment().apply(smooth(), replace(CALM, hflip=True)), plain[:, ::-1])
    np.testing.assert_array_equal(augment().apply(smooth(), replace(CALM, vflip=True)), plain[::-1])
    np.testing.assert_array_equal(augment().apply(smooth(), replace(CALM, quarter_turns=1)), np.rot90(plain))


def test_cropping_equals_torchvisions_resized_crop() -> None:
    box = Box(3, 5, 37, 36)
    expected = tv.resized_crop(torch.from_numpy(smooth()).permute(2, 0, 1), 3, 5, 37, 36, [32, 32], antialias=True)
    ours = augment().apply(smooth(), replace(CALM, box=box))
    np.testing.assert_array_equal(ours, expected.permute(1, 2, 0).numpy())


def test_a_rotation_turns_about_the_centre_of_the_crop_as_torchvisions_does() -> None:
    picture = smooth(40, 40)
    turned = augment(crop=False).apply(picture, replace(CALM, box=None, angle=math.radians(10)))
    whole = tv.rotate(torch.from_numpy(picture).permute(2, 0, 1), 10, tv.InterpolationMode.BILINEAR)
    expected = center_crop(np.ascontiguousarray(whole.permute(1, 2, 0).numpy()), 32)
    difference = np.abs(turned[4:-4, 4:-4].astype(int) - expected[4:-4, 4:-4])
    assert difference.max() <= 2


def test_a_rotated_crop_never_shows_what_is_not_in_the_photo() -> None:
    y, x = np.mgrid[0:40, 0:60]
    ramps = np.stack([4 * x, 6 * y, 0 * x], axis=-1).astype(np.uint8)  # what is mirrored in would fall again
    rotated = [draw for draw in draws(strength=1.0, color=False, hflip=False) if draw.angle]
    assert len(rotated) > 150
    for draw in rotated:
        view = augment(strength=1.0).apply(ramps, draw).astype(int)
        assert (np.diff(view[..., 0], axis=1) >= 0).all()
        assert (np.diff(view[..., 1], axis=0) >= 0).all()


def test_blur_is_torchvisions() -> None:
    plain = augment().apply(smooth(), CALM)
    expected = tv.gaussian_blur(torch.from_numpy(plain).permute(2, 0, 1), [5, 5], [1.0, 1.0])
    ours = augment().apply(smooth(), replace(CALM, blur=1.0))
    assert np.abs(ours.astype(int) - expected.permute(1, 2, 0).numpy()).max() <= 1


def test_erasing_leaves_the_mean_colour() -> None:
    view = augment().apply(smooth(), replace(CALM, erase=Box(2, 3, 5, 6)))
    np.testing.assert_array_equal(view[2:7, 3:9], np.broadcast_to([102, 128, 153], (5, 6, 3)))


def test_an_interpolation_that_tensors_lack_falls_back_to_bicubic() -> None:
    lanczos = TrainAugment(AugmentConfig(), replace(PREPROCESS, interpolation="lanczos"))
    bicubic = TrainAugment(AugmentConfig(), replace(PREPROCESS, interpolation="bicubic"))
    np.testing.assert_array_equal(
        lanczos.view(smooth(), sample_rng(0, 0, 0)), bicubic.view(smooth(), sample_rng(0, 0, 0))
    )
